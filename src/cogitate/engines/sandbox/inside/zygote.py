"""The fork server: one warm interpreter that never runs a stranger's code, only forks to those who do."""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from typing import Any

from . import syscalls, warden
from .root import write_maps

_WARM = (
    "math",
    "cmath",
    "json",
    "re",
    "string",
    "random",
    "itertools",
    "functools",
    "collections",
    "heapq",
    "bisect",
    "operator",
    "typing",
    "dataclasses",
    "datetime",
    "decimal",
    "fractions",
    "statistics",
    "io",
    "ast",
    "copy",
    "enum",
    "time",
    "traceback",
    "linecache",
    "contextlib",
    "struct",
    "hashlib",
    "textwrap",
    "threading",
    "array",
    "types",
    "abc",
    "numbers",
    "fcntl",
    "resource",
)
_WATCH_S = 0.05


def main(told: str) -> None:
    """Serve until the host closes the control socket or dies."""
    plan: dict[str, Any] = json.loads(told)
    control = socket.socket(fileno=plan["control"])
    control.set_inheritable(False)
    os.environ.clear()
    os.environ.update(plan["environment"])
    for name in _WARM:
        importlib.import_module(name)
    # A first process of a namespace hears no signal for which it has no handler, and Python sets one.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.collect()
    gc.freeze()
    sys.path += plan["paths"]
    control.send(b"ready")
    while True:
        ready = select.select([control, plan["host"]], [], [], 1.0)[0]
        if plan["host"] in ready:  # it died, and a process forked from it may still hold the socket
            os._exit(0)
        if not ready:
            _reap()
            continue
        try:
            told_now, held, _, _ = socket.recv_fds(control, 4096, 8)
        except OSError:
            os._exit(0)
        if not told_now:
            os._exit(0)
        _reap()
        pid = os.fork()
        if pid == 0:
            control.close()
            os.close(plan["host"])
            _attend(plan, dict(zip(json.loads(told_now), held, strict=True)))
        for one in held:
            os.close(one)


def _reap() -> None:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _attend(plan: dict[str, Any], held: dict[str, int]) -> None:
    """Make the run's own namespaces, put its warden in them, watch its memory, and end with it."""
    status = 70
    try:
        user, group, server = os.geteuid(), os.getegid(), os.getppid()
        if plan["walls"] != "none":
            syscalls.unshare(syscalls.ALL_NAMES)
            write_maps(plan["proc"], user, group)
        syscalls.die_with_parent()
        if os.getppid() != server:
            os._exit(71)
        ours, its = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            if plan["proc"] >= 0:
                os.close(plan["proc"])
            warden.main(plan, held, its)
        its.close()
        for one in held.values():
            os.close(one)
        _watch(plan["proc"], pid, ours)
        status = 0
    finally:
        os._exit(status)


def _watch(proc: int, pid: int, lifeline: socket.socket) -> None:
    """Wait for the warden; tell it when the run as a whole holds more memory than it may."""
    ended = os.pidfd_open(pid)
    most, over = 0, False
    while not select.select([ended], [], [], _WATCH_S)[0]:
        if proc < 0:
            continue
        if not most and select.select([lifeline], [], [], 0)[0]:
            most = int.from_bytes(lifeline.recv(8), "big")
        was, over = over, bool(most) and resident(proc) > most
        if over and not was:
            lifeline.send(b"m")
    os.waitpid(pid, 0)


def resident(proc: int) -> int:
    """Bytes of memory of the processes below this one, that belong to no file and are not the warden's.

    What processes share after a fork counts for each of them, but what all share with the warden does not.
    """
    # The number by which that proc knows this process, which may be another than its own.
    held, waiting = list[int](), [int(os.readlink("self", dir_fd=proc))]
    while waiting:
        one = waiting.pop()
        try:
            status = _read(proc, f"{one}/status")
            for task in _names(proc, f"{one}/task"):
                waiting += map(int, _read(proc, f"{one}/task/{task}/children").split())
        except OSError:
            continue
        lines = [line.split() for line in status.splitlines()]
        mine = [int(line[1]) for line in lines if line and line[0] in ("RssAnon:", "RssShmem:")]
        held.append(sum(mine) * 1024)
    return sum(max(0, one - held[0]) for one in held[1:])


def _names(proc: int, path: str) -> list[str]:
    opened = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc)
    try:
        return os.listdir(opened)
    finally:
        os.close(opened)


def _read(proc: int, path: str) -> str:
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    try:
        return os.read(opened, 65536).decode()
    finally:
        os.close(opened)
