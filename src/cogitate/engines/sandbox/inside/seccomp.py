"""The filter on system calls: what no program needs and a break-out does; x86_64 and aarch64."""

from __future__ import annotations

import ctypes
import platform
import struct

from .syscalls import check, prctl

# name, number on x86_64, number on aarch64
_DENIED = """
# reading or steering other processes
ptrace 101 117; process_vm_readv 310 270; process_vm_writev 311 271; kcmp 312 272;
pidfd_getfd 438 438; process_madvise 440 440;
# keys
keyctl 250 219; add_key 248 217; request_key 249 218;
# mounts and namespaces
mount 165 40; umount2 166 39; pivot_root 155 41; chroot 161 51; move_mount 429 429;
open_tree 428 428; fsopen 430 430; fsconfig 431 431; fsmount 432 432; fspick 433 433;
mount_setattr 442 442; unshare 272 97; setns 308 268;
# the kernel's larger surfaces
bpf 321 280; userfaultfd 323 282; perf_event_open 298 241; kexec_load 246 104;
kexec_file_load 320 294; init_module 175 105; finit_module 313 273; delete_module 176 106;
io_uring_setup 425 425; io_uring_enter 426 426; io_uring_register 427 427; reboot 169 142;
swapon 167 224; swapoff 168 225; syslog 103 116; acct 163 89; quotactl 179 60;
quotactl_fd 443 443; name_to_handle_at 303 264; open_by_handle_at 304 265;
settimeofday 164 170;
# the machine's clock, name and ports
clock_settime 227 112; clock_adjtime 305 266; adjtimex 159 171; sethostname 170 161;
setdomainname 171 162; iopl 172 -; ioperm 173 -; modify_ldt 154 -; vhangup 153 58;
uselib 134 -; ustat 136 -; sysfs 139 -; nfsservctl 180 42; lookup_dcookie 212 18;
# memory placement, and memory that belongs to no process
fanotify_init 300 262; mbind 237 235; migrate_pages 256 238; move_pages 279 239;
set_mempolicy 238 237; set_mempolicy_home_node 450 450; shmget 29 194; shmat 30 196;
shmctl 31 195; msgget 68 186; msgsnd 69 189; msgrcv 70 188; msgctl 71 187; semget 64 190;
semop 65 193; semtimedop 220 192; semctl 66 191; mq_open 240 180; mq_unlink 241 181;
memfd_create 319 279; memfd_secret 447 447; personality 135 92;
landlock_create_ruleset 444 444;
"""
_CLONE, _CLONE3 = (56, 220), (435, 435)
_SOCKET, _SOCKETPAIR, _PRCTL, _IOCTL = (41, 198), (53, 199), (157, 167), (16, 29)
_ARCHITECTURES = {"x86_64": (0, 0xC000_003E), "aarch64": (1, 0xC000_00B7)}
_NEWEST_KNOWN = 456
"""Calls that came later are answered as a kernel without them would."""

_NEW_NAMES = 0x7E02_0080
"""Every flag of clone(2) that makes a namespace."""
_AF_UNIX = 1
_STEERS_DUMPS = (4, 0x5961_6D61)
"""prctl: PR_SET_DUMPABLE and PR_SET_PTRACER, with which a process opens itself to others."""
_TYPES_FOR_OTHERS = (0x5412, 0x541C)
"""ioctl: TIOCSTI and TIOCLINUX, with which a program types into a terminal."""

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL, _REFUSE, _MISSING = 0x7FFF_0000, 0x8000_0000, 0x0005_0001, 0x0005_0026

Instruction = tuple[int, int, int, int]


def denied(machine: str = "") -> dict[str, int]:
    """The calls refused whatever their arguments, by name, with their numbers on this machine.

    Raises:
        OSError: on a machine whose numbers are not known here.
    """
    machine = machine or platform.machine()
    if machine not in _ARCHITECTURES:
        raise OSError(38, f"no filter is known for {machine}")
    column = 1 + _ARCHITECTURES[machine][0]
    lines = [line for line in _DENIED.splitlines() if line and not line.startswith("#")]
    rows = [entry.split() for line in lines for entry in line.split(";") if entry.strip()]
    return {row[0]: int(row[column]) for row in rows if row[column] != "-"}


def program(machine: str = "") -> list[Instruction]:
    """The filter as instructions of the classic packet filter."""
    machine = machine or platform.machine()
    refused = sorted(denied(machine).values())
    column, architecture = _ARCHITECTURES[machine]
    code: list[Instruction] = [
        (_LOAD, 0, 0, 4),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, 0),
        (_AT_LEAST, 0, 1, _NEWEST_KNOWN + 1),
        (_RETURN, 0, 0, _MISSING),
        (_EQUAL, 0, 1, _CLONE3[column]),  # its flags lie in memory; libc falls back to clone
        (_RETURN, 0, 0, _MISSING),
    ]
    for number in refused:
        code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    code += _unless(_CLONE[column], 0, [(_ANY_BIT, 0, 1, _NEW_NAMES), (_RETURN, 0, 0, _REFUSE)])
    for call in (_SOCKET, _SOCKETPAIR):
        code += _unless(call[column], 0, [(_EQUAL, 1, 0, _AF_UNIX), (_RETURN, 0, 0, _REFUSE)])
    for call, place, values in ((_PRCTL, 0, _STEERS_DUMPS), (_IOCTL, 1, _TYPES_FOR_OTHERS)):
        tests = [(_EQUAL, 0, 1, value) for value in values]
        body = [part for test in tests for part in (test, (_RETURN, 0, 0, _REFUSE))]
        code += _unless(call[column], place, body)
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _unless(number: int, place: int, body: list[Instruction]) -> list[Instruction]:
    """For this call, load an argument's lower half and refuse by `body`; otherwise allow it."""
    inner = [(_LOAD, 0, 0, 16 + 8 * place), *body, (_RETURN, 0, 0, _ALLOW)]
    return [(_EQUAL, 0, len(inner), number), *inner]


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))


def install() -> None:
    """Put this process and all that come from it under the filter, for good.

    Raises:
        OSError: where the kernel has no filters, or their numbers are not known for this machine.
    """
    packed = b"".join(struct.pack("HBBI", *one) for one in program())
    held = ctypes.create_string_buffer(packed, len(packed))
    wanted = _Program(len(packed) // 8, ctypes.addressof(held))
    check(prctl(22, 2, ctypes.addressof(wanted)), "seccomp")
