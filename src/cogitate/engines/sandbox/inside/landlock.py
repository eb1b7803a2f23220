"""Landlock: rules on files, ports, signals and sockets that a process lays on itself."""

from __future__ import annotations

import contextlib
import ctypes
import os

from .syscalls import check, syscall

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_EXECUTE, _READ_FILE, _READ_DIRECTORY = 1, 4, 8
_DEVICES = tuple((f"/dev/{name}", _READ_FILE | 2) for name in ("null", "zero", "full"))
_READ = _EXECUTE | _READ_FILE | _READ_DIRECTORY
# Rights on files by version of the interface; renames across directories, truncation, device ioctls.
_FILE_RIGHTS = {1: 0x1FFF, 2: 0x3FFF, 3: 0x7FFF, 5: 0xFFFF}


class _Rules(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64), ("ports", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """The version of Landlock that this kernel speaks; 0: none."""
    return max(0, syscall(_CREATE, 0, 0, 1))


def restrict(writable: tuple[str, ...]) -> int:
    """Read and run anything that can be seen, write only below these; no ports, no signals outwards.

    Returns the version used, 0 where the kernel has none.
    """
    speaks = version()
    if not speaks:
        return 0
    every = _FILE_RIGHTS[max(v for v in _FILE_RIGHTS if v <= speaks)]
    rules = _Rules(every, 3 if speaks >= 4 else 0, 3 if speaks >= 6 else 0)
    size = 24 if speaks >= 6 else 16 if speaks >= 4 else 8
    held = check(syscall(_CREATE, ctypes.byref(rules), size, 0), "landlock_create_ruleset")
    try:
        _allow(held, "/", _READ)
        for path, rights in (*_DEVICES, *((path, every) for path in writable)):
            with contextlib.suppress(FileNotFoundError):
                _allow(held, path, rights)
        check(syscall(_RESTRICT, held, 0), "landlock_restrict_self")
    finally:
        os.close(held)
    return speaks


def _allow(rules: int, path: str, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        beneath = _Beneath(rights, place)
        check(syscall(_ADD, rules, 1, ctypes.byref(beneath), 0), "landlock_add_rule")
    finally:
        os.close(place)
