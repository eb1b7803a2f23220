"""One program under watch: its output up to the cap, its end, and how that came about."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from typing import Any, cast

from .frames import Ended

_ENDINGS = {"timeout", "output", "memory"}


class Trial:
    """Pipes to a program, read until it ends or must be ended."""

    # Mutable on purpose: it collects.

    def __init__(
        self,
        limits: dict[str, Any],
        secret: str,
        channel: socket.socket,
        lifeline: socket.socket,
        began: float,
    ) -> None:
        self.limits, self.secret = limits, secret
        self.deadline = began + limits["seconds"]
        self.channel, self.lifeline = channel, lifeline
        pairs = [os.pipe() for _ in range(3)]
        self.readers = [reader for reader, _ in pairs]
        self._writers = [writer for _, writer in pairs]
        self.caps = [limits["output_bytes"], limits["output_bytes"], 1 << 20]
        self.texts = [bytearray(), bytearray(), bytearray()]
        self.truncated = [False, False, False]
        self.ended = ""

    def ends(self) -> list[int]:
        """Where the program writes: output, errors and the end sentinel."""
        return self._writers

    def watch(self, pid: int, *, until_sentinel: bool = False) -> bool:
        """Read until the program ends, or spoke the sentinel; true when it must be killed.

        Raises:
            Ended: when the host or the watcher is gone.
        """
        for one in self._writers:
            os.close(one)
        self._writers = []
        ended = os.pidfd_open(pid)
        poll = select.poll()
        for one in (ended, *self.readers, self.channel.fileno(), self.lifeline.fileno()):
            poll.register(one, select.POLLIN)
        try:
            while not self.ended:
                left = self.deadline - time.monotonic()
                if left <= 0:
                    self.ended = "timeout"
                    break
                ready = {one for one, _ in poll.poll(min(left, 3600) * 1000 + 1)}
                for place, reader in enumerate(self.readers):
                    if reader in ready and not self._take(place):
                        poll.unregister(reader)
                self._listen(ready)
                if ended in ready or (until_sentinel and self.said()):
                    break
        finally:
            os.close(ended)
        return bool(self.ended)

    def abandon(self) -> None:
        """Close the pipes of a program that never started."""
        for one in (*self._writers, *self.readers):
            os.close(one)

    def _listen(self, ready: set[int]) -> None:
        if self.channel.fileno() in ready:
            raise Ended  # a run has no second message: the host has hung up
        if self.lifeline.fileno() in ready:
            if self.lifeline.recv(1) != b"m":
                raise Ended
            self.ended = "memory"

    def _take(self, place: int) -> bool:
        """Read a piece of one stream; false at its end."""
        room = self.caps[place] - len(self.texts[place])
        try:
            piece = os.read(self.readers[place], min(65536, room + 1))
        except BlockingIOError:
            return False
        self.texts[place] += piece[:room]
        if len(piece) > room:
            self.truncated[place] = True
            self.ended = "output"
        return bool(piece)

    def drain(self) -> None:
        """Take what still lies in the pipes, without waiting for more."""
        ending = self.ended
        for place, reader in enumerate(self.readers):
            os.set_blocking(reader, False)
            while not self.truncated[place] and self._take(place):
                pass
            os.close(reader)
        self.ended = ending or self.ended

    def said(self) -> dict[str, Any]:
        """What the program told with the secret; nothing where the secret is not there."""
        for line in bytes(self.texts[2]).split(b"\n"):
            try:
                told = json.loads(line)
            except (ValueError, RecursionError):
                continue
            held = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
            if held.get("secret") == self.secret:
                return held
        return {}

    def outcome(self, pid: int) -> dict[str, Any]:
        """Collect the program, dead by now, and say how it ended."""
        _, status, used = os.wait4(pid, 0)
        self.drain()
        code = os.waitstatus_to_exitcode(status)
        return self.told(code, used.ru_utime + used.ru_stime)

    def told(self, code: int, cpu_seconds: float) -> dict[str, Any]:
        """The outcome as the host gets it."""
        said = self.said()
        spent = cpu_seconds >= self.limits["cpu_seconds"]
        if self.ended not in _ENDINGS:
            if code == -signal.SIGXCPU or (code < 0 and spent):
                self.ended = "timeout"
            elif code < 0:
                self.ended = "killed"
            elif code:
                self.ended = "memory" if said.get("memory") else "error"
            else:
                self.ended = "ok"
        value = said.get("value", "")
        return {
            "stdout": self._text(0),
            "stderr": self._text(1),
            "status": code,
            "ended": self.ended,
            "finished": bool(said.get("finished")),
            "value": value if isinstance(value, str) else "",
            "truncated": [
                n for n, cut in zip(("stdout", "stderr"), self.truncated, strict=False) if cut
            ],
        }

    def _text(self, place: int) -> str:
        return bytes(self.texts[place]).decode("utf-8", "replace")
