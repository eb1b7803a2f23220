"""The system calls that Python lacks, by number through libc; Linux on x86_64 and aarch64."""

from __future__ import annotations

import ctypes
import os
import platform
from typing import Any

NEW_USER, NEW_MOUNT, NEW_PID = 0x1000_0000, 0x0002_0000, 0x2000_0000
NEW_NET, NEW_IPC, NEW_UTS, NEW_CGROUP = 0x4000_0000, 0x0800_0000, 0x0400_0000, 0x0200_0000
ALL_NAMES = NEW_USER | NEW_MOUNT | NEW_PID | NEW_NET | NEW_IPC | NEW_UTS

READ_ONLY, NO_SUID, NO_DEVICES, NO_EXEC = 1, 2, 4, 8
REMOUNT, BIND, RECURSIVE, PRIVATE = 32, 4096, 16384, 1 << 18
DETACH = 2

_SET_DEATH_SIGNAL, _SET_DUMPABLE, _DROP_BOUND, _SECURE_BITS = 1, 4, 24, 28
_SET_SUBREAPER, _NO_NEW_PRIVILEGES, _AMBIENT = 36, 38, 47
# Neither root's identity nor a change of identity brings capabilities back; locked.
_NO_ROOT_PRIVILEGES = 0b1110_1111

# pivot_root, mount_setattr, capset, close_range
_NUMBERS = {"x86_64": (155, 442, 126, 436), "aarch64": (41, 442, 91, 436)}


def _libc() -> Any:
    global _loaded
    if _loaded is None:
        _loaded = ctypes.CDLL(None, use_errno=True)
    return _loaded


_loaded: Any = None


def _number(which: int) -> int:
    found = _NUMBERS.get(platform.machine())
    if found is None:
        raise OSError(38, f"no system call numbers for {platform.machine()}")
    return found[which]


def check(result: int, doing: str) -> int:
    """The result of a call, or its error as an exception."""
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{doing}: {os.strerror(code)}")
    return result


def syscall(number: int, *values: Any) -> int:
    """Any call by number; the raw result, -1 for an error."""
    wide = [ctypes.c_long(v) if isinstance(v, int) else v for v in values]
    return int(_libc().syscall(ctypes.c_long(number), *wide))


def unshare(flags: int) -> None:
    """Leave the namespaces named by the flags for new ones."""
    check(_libc().unshare(flags), "unshare")


def mount(source: str, target: str, kind: str, flags: int = 0, data: str = "") -> None:
    """Attach a file system, or change how one is attached."""
    done = _libc().mount(
        os.fsencode(source),
        os.fsencode(target),
        kind.encode(),
        ctypes.c_ulong(flags),
        data.encode(),
    )
    check(done, f"mount {kind or 'bind'} on {target}")


def unmount(target: str) -> None:
    """Take a mount away at once, in use or not."""
    check(_libc().umount2(os.fsencode(target), DETACH), f"umount {target}")


def pivot_root(new: str, old: str) -> None:
    """Make `new` the root and leave the former one at `old`."""
    check(syscall(_number(0), os.fsencode(new), os.fsencode(old)), "pivot_root")


class _Attributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("user", ctypes.c_uint64),
    )


def make_read_only(path: str) -> None:
    """A mount and all below it: read-only, no set-uid programs, no devices but those that are there."""
    wanted = _Attributes(READ_ONLY | NO_SUID, 0, 0, 0)
    done = syscall(
        _number(1),
        -100,
        os.fsencode(path),
        0x8000,
        ctypes.byref(wanted),
        ctypes.sizeof(wanted),
    )
    if done < 0:  # before Linux 5.12
        held = os.statvfs(path).f_flag & (NO_SUID | NO_DEVICES | NO_EXEC)
        mount("", path, "", REMOUNT | BIND | READ_ONLY | NO_SUID | held)


def prctl(option: int, value: int = 0, third: int = 0) -> int:
    """Steer this process; the raw result, the arguments not given are zero."""
    return int(
        _libc().prctl(option, ctypes.c_ulong(value), ctypes.c_ulong(third), ctypes.c_ulong(0), 0)
    )


def die_with_parent() -> None:
    """Be killed when the parent ends; set again after each change of identity, which clears it."""
    check(prctl(_SET_DEATH_SIGNAL, 9), "PR_SET_PDEATHSIG")


def be_unreadable() -> None:
    """No process of the same user may trace this one, read its memory or see its descriptors."""
    check(prctl(_SET_DUMPABLE, 0), "PR_SET_DUMPABLE")


def gain_no_privileges() -> None:
    """No program started from here gains rights from its file."""
    check(prctl(_NO_NEW_PRIVILEGES, 1), "PR_SET_NO_NEW_PRIVS")


def adopt_orphans() -> None:
    """Processes whose parent ends become children of this one."""
    check(prctl(_SET_SUBREAPER, 1), "PR_SET_CHILD_SUBREAPER")


def drop_capabilities() -> None:
    """Every capability, from every set, for good."""
    prctl(_AMBIENT, 4)
    for capability in range(64):
        if prctl(_DROP_BOUND, capability) < 0:
            break
    prctl(_SECURE_BITS, _NO_ROOT_PRIVILEGES)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    empty = (ctypes.c_uint32 * 6)()
    check(syscall(_number(2), ctypes.byref(header), ctypes.byref(empty)), "capset")


def close_from(first: int) -> None:
    """Close every descriptor from this one on."""
    if syscall(_number(3), first, 0xFFFF_FFFF, 0) < 0:
        os.closerange(first, 65536)


def close_range(first: int, last: int) -> None:
    """Close every descriptor between two, both included."""
    if syscall(_number(3), first, last, 0) < 0:
        os.closerange(first, last + 1)
