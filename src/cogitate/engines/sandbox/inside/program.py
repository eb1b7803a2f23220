"""The process that becomes the program: takes its limits, its three streams, and runs the source."""

from __future__ import annotations

import os
import signal
import socket
from typing import Any

from . import script, syscalls

_END, _LINK, _IMAGE = 3, 4, 5


def enter(
    request: dict[str, Any], secret: str, ends: list[int], stdin: int, held: dict[str, int]
) -> None:
    """Never returns: the program's end is this process's end."""
    try:
        os.setsid()
        settle(ends, stdin, held)
        confine(request["limits"], spare=2 + cell_states(request))
        if request["mode"] == "image":
            os.execve(_IMAGE, ["program"], dict(os.environ))
        if request["mode"] == "command":
            os.execve(request["command"][0], request["command"], dict(os.environ))
        link = socket.socket(fileno=_LINK) if "link" in held else None
        if link is not None and request["mode"] == "cells":
            script.wait_for_cells(link)
        script.run(request["source"], request["role"], secret, _END, link)
    except BaseException as error:
        os.write(
            2,
            f"the sandbox could not start the program: {type(error).__name__}: {error}\n".encode(),
        )
    finally:
        os._exit(127)


def settle(ends: list[int], stdin: int, held: dict[str, int]) -> None:
    """Descriptors 0 to 5 as the program knows them, and no others."""
    wanted = {0: stdin, 1: ends[0], 2: ends[1], _END: ends[2]}
    if "link" in held:
        wanted[_LINK] = held["link"]
    if "image" in held:
        wanted[_IMAGE] = held["image"]
    # Copies above all targets first, so that no target is overwritten before it was read.
    high = {target: _above(one) for target, one in wanted.items()}
    syscalls.close_range(3, 63)
    for target, one in high.items():
        os.dup2(one, target, inheritable=target < 3)
    syscalls.close_from(_IMAGE + 1 if "image" in held else _LINK + 1)


def cell_states(request: dict[str, Any]) -> int:
    """How many processes may stand as states of cells."""
    return int(request.get("states", 0))


def _above(one: int) -> int:
    import fcntl

    return fcntl.fcntl(one, fcntl.F_DUPFD_CLOEXEC, 64)


def confine(limits: dict[str, Any], spare: int) -> None:
    """The limits that the kernel holds for each process; `spare` processes are ours."""
    import resource

    cpu = max(1, int(-(-limits["cpu_seconds"] // 1)))
    for which, soft, hard in (
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_CPU, cpu, cpu + 1),
        (resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"], limits["open_files"]),
        (resource.RLIMIT_NPROC, limits["processes"] + spare, limits["processes"] + spare),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_AS, limits["memory_bytes"], limits["memory_bytes"]),
    ):
        _, most = resource.getrlimit(which)
        if most != resource.RLIM_INFINITY:
            soft, hard = min(soft, most), min(hard, most)
        resource.setrlimit(which, (soft, hard))
    signal.signal(signal.SIGINT, signal.default_int_handler)
