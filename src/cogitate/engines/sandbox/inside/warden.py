"""The first process of a run: furnishes its box, locks it, starts the program, keeps the verdict."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import sys
import time
from typing import Any

from . import cells, frames, landlock, program, seccomp, syscalls
from .root import BOX
from .trial import Trial

Request = dict[str, Any]


def main(plan: dict[str, Any], held: dict[str, int], lifeline: socket.socket) -> None:
    """Serve one run and end; with it ends every process that the program left behind."""
    walls = plan["walls"] != "none"
    channel = socket.socket(fileno=held["run"])
    box = BOX
    try:
        if walls:
            syscalls.die_with_parent()
        else:
            syscalls.adopt_orphans()
            box = os.path.join(plan["box"], str(os.getpid()))
        request: Request = frames.receive(channel)
        room = cells.ROOM_BYTES if request["mode"] == "cells" else 0
        lifeline.send((request["limits"]["memory_bytes"] + room).to_bytes(8, "big"))
        _furnish(box, request, mounted=walls)
        stdin = _sealed(request["stdin"])
        lock(box, walls=walls)
        if request["mode"] == "cells":
            cells.serve(channel, lifeline, request, stdin)
        else:
            frames.send(channel, _run(request, held, stdin, channel, lifeline, alone=walls))
    except frames.Ended:
        pass
    finally:
        if not walls:
            shutil.rmtree(box, ignore_errors=True)
        os._exit(0)


def lock(box: str, *, walls: bool) -> None:
    """Give up every right for good; what is forked from here on has none."""
    syscalls.be_unreadable()
    syscalls.gain_no_privileges()
    if not walls:
        return
    syscalls.drop_capabilities()
    landlock.restrict((box,))
    seccomp.install()


def _furnish(box: str, request: Request, *, mounted: bool) -> None:
    """An empty file system in memory with the run's files, and a name that says nothing."""
    limits = request["limits"]
    if mounted:
        inodes = max(64, min(65536, limits["tmp_bytes"] // 4096))
        data = f"mode=700,size={limits['tmp_bytes']},nr_inodes={inodes}"
        flags = syscalls.NO_SUID | syscalls.NO_DEVICES | syscalls.NO_EXEC
        syscalls.mount("tmpfs", box, "tmpfs", flags, data)
        socket.sethostname("sandbox")
    else:
        os.makedirs(box, 0o700, exist_ok=True)
    work = os.path.join(box, "work")
    for name in ("work", "tmp", "shm"):
        os.mkdir(os.path.join(box, name), 0o700)
    os.chdir(work)
    for path, text in request["files"]:
        place = os.path.join(work, path)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        with open(place, "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)


def _sealed(text: str) -> int:
    """A file in memory that can be read and never changed again: the program's standard input."""
    import fcntl

    held = os.memfd_create("stdin", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    left = memoryview(text.encode("utf-8", "surrogateescape"))
    while left:
        left = left[os.write(held, left) :]
    os.lseek(held, 0, os.SEEK_SET)
    fcntl.fcntl(held, fcntl.F_ADD_SEALS, 0x0F)
    return held


def _run(
    request: Request,
    held: dict[str, int],
    stdin: int,
    channel: socket.socket,
    lifeline: socket.socket,
    *,
    alone: bool,
) -> Request:
    """Start the program and watch it to its end."""
    secret = secrets.token_hex(16)
    trial = Trial(request["limits"], secret, channel, lifeline, time.monotonic())
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        program.enter(request, secret, trial.ends(), stdin, held)
    for one in (stdin, *(held[name] for name in held if name != "run")):
        os.close(one)
    trial.watch(pid)
    end_all(pid, alone=alone)
    outcome = trial.outcome(pid)
    if request["mode"] != "run":  # no sentinel: only its exit status speaks
        outcome["finished"] = outcome["ended"] == "ok"
    collected = request.get("collect")
    if collected and outcome["ended"] == "ok":
        outcome["collected"] = _collected(collected, request["limits"]["file_bytes"])
    return outcome


def end_all(pid: int, *, alone: bool) -> None:
    """Kill what the program started, however it hid: as first process, all that live are its own."""
    try:
        if alone:
            os.kill(-1, signal.SIGKILL)
        else:
            os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    while not alone and (orphans := _children() - {pid}):
        for orphan in orphans:  # those below it are handed up to us in their turn
            os.kill(orphan, signal.SIGKILL)
            os.waitpid(orphan, 0)


def _children() -> set[int]:
    try:
        with open("/proc/thread-self/children") as file:
            return set(map(int, file.read().split()))
    except OSError:
        return set()


def _collected(path: str, most: int) -> str:
    """A file that the run wrote, as base64; nothing for a link or anything but a plain file."""
    import base64
    import stat

    try:
        opened = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(opened, "rb") as file:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return ""
        return base64.b64encode(file.read(most)).decode()
