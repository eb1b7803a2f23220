"""A session's warden: states are processes that stand still, and a cell is a fork of one."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import time
from typing import Any

from . import frames, program
from .root import BOX
from .trial import Trial

ROOM_BYTES = 1 << 28
"""Memory of all states together beyond that of the cell that runs."""
_FILES = 1000
"""With more files than this a state is not continued but rebuilt."""
_ANSWER_S = 2.0

Request = dict[str, Any]


def serve(channel: socket.socket, lifeline: socket.socket, request: Request, stdin: int) -> None:
    """Run cells one after another until the host hangs up."""
    session = Session(request, channel, lifeline, stdin)
    while True:
        asked = frames.receive(channel)
        for state in asked["drop"]:
            session.drop(state)
        frames.send(channel, session.run(asked))
        session.reap()


class Session:
    """The states of one box."""

    # Mutable on purpose: it holds processes.

    def __init__(
        self, request: Request, channel: socket.socket, lifeline: socket.socket, stdin: int
    ) -> None:
        self._limits, self._channel, self._lifeline = request["limits"], channel, lifeline
        ours, its = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            quiet = os.open("/dev/null", os.O_WRONLY)
            program.enter(request, "", [quiet] * 3, stdin, {"link": its.fileno()})
        its.close()
        os.close(stdin)
        self._states: dict[int, tuple[int, socket.socket, Any]] = {0: (pid, ours, fingerprint())}

    def run(self, asked: Request) -> Request:
        """Run a cell on a state; `lost` where that state is gone, or its files are not as it left them."""
        parent = self._states.get(asked["parent"])
        if parent is None or parent[2] is None or parent[2] != fingerprint():
            return {"lost": True}
        limits = self._limits | {"seconds": asked["seconds"]}
        trial = Trial(
            limits, secrets.token_hex(16), self._channel, self._lifeline, time.monotonic()
        )
        ours, its = socket.socketpair()
        pid = self._fork(parent[1], asked["source"], trial, ours, its)
        if not pid:
            ours.close()
            trial.abandon()
            self.drop(asked["parent"])
            return {"lost": True}
        dead = trial.watch(pid, until_sentinel=True)
        said = trial.said()
        if not said or dead:
            ours.close()
            _kill(pid)
            return trial.outcome(pid)
        trial.drain()
        self._states[asked["state"]] = (pid, ours, fingerprint())
        status = said.get("status")
        return trial.told(status if isinstance(status, int) else 1, 0.0) | {"held": True}

    def drop(self, state: int) -> None:
        """End a state."""
        held = self._states.pop(state, None)
        if held is not None:
            held[1].close()
            _kill(held[0])
            os.waitpid(held[0], 0)

    def reap(self) -> None:
        """Collect what ended: orphans of cells, and states that something killed."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            for state, held in list(self._states.items()):
                if held[0] == found.si_pid:
                    held[1].close()
                    del self._states[state]
            os.waitpid(found.si_pid, 0)

    def _fork(
        self,
        parent: socket.socket,
        source: str,
        trial: Trial,
        ours: socket.socket,
        its: socket.socket,
    ) -> int:
        """Have a state fork for a cell; the new process, or 0 where the state does not answer."""
        text = source.encode("utf-8", "surrogatepass")
        try:
            parent.settimeout(_ANSWER_S)
            header = len(text).to_bytes(frames.HEADER, "big")
            socket.send_fds(parent, [header], [its.fileno(), *trial.ends()])
            its.close()
            parent.sendall(text)
            ours.settimeout(_ANSWER_S)
            pid = int.from_bytes(ours.recv(frames.HEADER, socket.MSG_WAITALL), "big")
            if not self._is_new(pid):
                return 0
            ours.sendall(trial.secret.encode())
        except OSError:
            return 0
        finally:
            its.close()
        return pid

    def _is_new(self, pid: int) -> bool:
        """Whether it is a child of ours that is no state already: a state tells us its number itself."""
        if pid in {held[0] for held in self._states.values()} or pid < 2:
            return False
        try:
            return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None
        except (OSError, OverflowError):
            return False


def _kill(pid: int) -> None:
    for end in (os.killpg, os.kill):
        try:
            end(pid, signal.SIGKILL)
        except OSError:
            continue


def fingerprint() -> Any:
    """What the box holds, by names, sizes and times of change that no program can set; `None`: too much."""
    found: list[tuple[str, int, int, int]] = []
    waiting = [BOX if os.path.ismount(BOX) else os.path.dirname(os.getcwd())]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                about = entry.stat(follow_symlinks=False)
                found.append((entry.path, about.st_size, about.st_ctime_ns, about.st_ino))
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                if len(found) > _FILES:
                    return None
    return sorted(found)
