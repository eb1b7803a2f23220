"""A content-addressed store for large values: images, latents, snapshots, long replies."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from cogitate.core.errors import JournalError


class BlobStore:
    """Bytes by the digest of their content; equal bytes are stored once.

    The folder is made when the first blob is put. Blobs are collected by reference: `collect` keeps what
    is still referred to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, data: bytes) -> str:
        """Store bytes; returns their digest, 32 hexadecimal digits."""
        digest = hashlib.blake2b(data, digest_size=16).hexdigest()
        path = self._path(digest)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
            try:
                partial.write_bytes(data)
                partial.replace(path)
            except OSError as error:
                with contextlib.suppress(OSError):
                    partial.unlink()
                raise JournalError(
                    f"a blob could not be written to {self.folder}: {error.strerror}"
                ) from error
        return digest

    def get(self, digest: str) -> bytes:
        """The bytes of a digest.

        Raises:
            JournalError: when there are none, or they are damaged.
        """
        if len(digest) != 32 or not set(digest) <= set("0123456789abcdef"):
            raise JournalError(f"{digest!r} is not the digest of a blob")
        try:
            data = self._path(digest).read_bytes()
        except FileNotFoundError:
            raise JournalError(f"the blob {digest} is missing from {self.folder}") from None
        if hashlib.blake2b(data, digest_size=16).hexdigest() != digest:
            raise JournalError(f"the blob {digest} in {self.folder} is damaged")
        return data

    def digests(self) -> list[str]:
        """What is stored."""
        return sorted(p.parent.name + p.name for p in self.folder.glob("??/*") if "." not in p.name)

    def collect(self, references: Iterable[str]) -> int:
        """Delete what nothing refers to; returns how many blobs went."""
        alive = set(references)
        gone = [digest for digest in self.digests() if digest not in alive]
        for digest in gone:
            self._path(digest).unlink(missing_ok=True)
        return len(gone)

    def _path(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest[2:]
