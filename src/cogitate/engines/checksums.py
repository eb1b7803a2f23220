"""Whether a model file is what it should be: its hash, and how it begins."""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from cogitate.core.errors import Failed, InvalidInput

MAGIC: Final = b"GGUF"


def digests_directory() -> Path:
    """Where the digests of large files are remembered; nothing is created."""
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("cogitate")) / "digests"


def sha256_of(path: Path, *, memory: Path | None = None) -> str:
    """SHA-256 of a file; remembered by path, size and time, so that a large file is read once.

    Args:
        path: the file.
        memory: the directory of remembered digests; None: in the user's cache directory.
    """
    found = path.resolve()
    stat = found.stat()
    name = hashlib.blake2b(str(found).encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
    note = (memory or digests_directory()) / f"{name}.json"
    known_as: dict[str, Any] = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    with suppress(OSError, ValueError):
        kept: Any = json.loads(note.read_text("utf-8"))
        if isinstance(kept, dict) and known_as.items() <= kept.items():  # pyright: ignore[reportUnknownMemberType]
            return str(kept["sha256"])  # pyright: ignore[reportUnknownArgumentType]
    with found.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256").hexdigest()
    with suppress(OSError):  # a read-only home costs time, not the answer
        note.parent.mkdir(parents=True, exist_ok=True)
        _write_whole(note, json.dumps({**known_as, "sha256": digest}))
    return digest


def _write_whole(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as draft:
        draft.write(text)
    Path(draft.name).replace(path)


def verify(path: Path, sha256: str) -> None:
    """Check the hash of a whole file by reading it.

    Raises:
        InvalidInput: when the file is another one.
        Failed: when there is no such file.
    """
    if not path.is_file():
        raise Failed(f"the model file {path} is not there", "missing")
    with path.open("rb") as source:
        found = hashlib.file_digest(source, "sha256").hexdigest()
    if found != sha256:
        raise InvalidInput(
            f"the model file {path} should have SHA-256 {sha256[:12]}…, but has {found[:12]}…; "
            "delete it and pull it again"
        )


def check_gguf(path: Path) -> None:
    """Check that a file is there and begins like a GGUF model.

    Raises:
        Failed: when there is no such file.
        InvalidInput: when it is something else.
    """
    if not path.is_file():
        raise Failed(
            f"the model file {path} is not there; `cogitate models pull smollm2` fetches the small one",
            "missing",
        )
    try:
        with path.open("rb") as source:
            start = source.read(len(MAGIC))
    except OSError as error:
        raise Failed(
            f"the model file {path} cannot be read: {error.strerror}", "missing"
        ) from error
    if start != MAGIC:
        raise InvalidInput(f"{path} is not a GGUF model: it begins with {start!r}, not {MAGIC!r}")
