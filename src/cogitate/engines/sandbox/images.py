"""Compiled programs: built inside the sandbox, kept by the digest of their source."""

from __future__ import annotations

import base64
import hashlib
import os
from collections import OrderedDict
from dataclasses import asdict
from typing import Any

from cogitate.core.errors import Failed
from cogitate.core.execute import ExecutionLimits, Run

from .plans import compiler
from .pool import Servers

_HELD_BYTES = 64 << 20
_LIMITS = ExecutionLimits(
    seconds=30,
    cpu_seconds=30,
    memory_bytes=2 << 30,
    file_bytes=64 << 20,
    tmp_bytes=256 << 20,
)
_FLAGS = ("-std=c++17", "-O2", "-pipe", "-o", "a.out", "program.cpp")


class Images:
    """Compiles each source once."""

    # Mutable on purpose: a cache.

    def __init__(self) -> None:
        self._held: OrderedDict[str, bytes | Run] = OrderedDict()

    async def of(self, source: str, pool: Servers) -> bytes | Run:
        """The program's image, or the run of a compiler that refused it.

        Raises:
            Failed: where there is no compiler, or no isolation.
        """
        path = compiler()
        if not path:
            raise Failed("a C++ program was asked for; install g++ to run it", "unsupported")
        key = hashlib.blake2b(source.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        if key not in self._held:
            self._held[key] = await _compile(path, source, pool)
            while sum(map(_size, self._held.values())) > _HELD_BYTES and len(self._held) > 1:
                self._held.popitem(last=False)
        self._held.move_to_end(key)
        return self._held[key]


async def _compile(path: str, source: str, pool: Servers) -> bytes | Run:
    message: dict[str, Any] = {
        "mode": "command",
        "role": "program",
        "command": [path, *_FLAGS],
        "source": "",
        "stdin": "",
        "files": [["program.cpp", source]],
        "limits": asdict(_LIMITS),
        "collect": "a.out",
    }
    told = await (await pool.begin(message, _LIMITS.seconds, compiler=True))
    if told["ended"] == "ok" and told.get("collected"):
        return base64.b64decode(told["collected"])
    return Run(
        told["stdout"],
        told["stderr"],
        told["status"] or 1,
        "compile",
        truncated=tuple(told["truncated"]),
    )


def _size(held: bytes | Run) -> int:
    return len(held) if isinstance(held, bytes) else len(held.stderr)


def as_descriptor(image: bytes) -> int:
    """The image as a file in memory that nobody can change any more; the caller closes it."""
    import fcntl

    held = os.memfd_create("program", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    left = memoryview(image)
    while left:
        left = left[os.write(held, left) :]
    fcntl.fcntl(held, fcntl.F_ADD_SEALS, 0x0F)
    return held
