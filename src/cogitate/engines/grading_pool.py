"""Processes that read symbolic answers; each is killed when one answer takes too long."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections import OrderedDict
from pathlib import Path
from typing import IO, cast

START_S = 60.0
"""How long a worker may take to load Math-Verify."""
_REMEMBERED = 16_384
_PASSED_ON = ("PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH", "LANG")


class WorkerLost(Exception):
    """The worker ended, was killed, or did not answer in time."""


class Worker:
    """One process; asked one expression at a time, by one thread at a time."""

    def __init__(self, command: tuple[str, ...] | None = None) -> None:
        import os

        script = str(Path(__file__).with_name("grading_worker.py"))
        self.process = subprocess.Popen(
            command or (sys.executable, "-I", script),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader = threading.Thread(
            target=_read_lines, args=(self.process.stdout, self._lines), daemon=True
        )
        self._reader.start()
        try:
            self._send({"path": sys.path})
            self.usable = bool(self._receive(START_S).get("ready"))
        except WorkerLost:
            self.close()
            raise

    def form(self, tex: str, timeout_s: float) -> str | None:
        """The form of an expression; `None` where it has none.

        Raises:
            WorkerLost: when no answer came in time; the process has been killed.
        """
        try:
            self._send({"tex": tex})
            found = self._receive(timeout_s).get("form")
        except WorkerLost:
            self.close()
            raise
        return found if isinstance(found, str) else None

    def kill(self) -> None:
        """End the process now; whoever waits for it gets `WorkerLost`. Safe from any thread."""
        self.process.kill()

    def close(self) -> None:
        """End the process, reap it and close its pipes."""
        self.process.kill()
        self.process.wait()
        self._reader.join(timeout=5)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue

    def _send(self, message: dict[str, object]) -> None:
        try:
            pipe = cast(IO[str], self.process.stdin)
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()
        except (OSError, ValueError) as error:
            raise WorkerLost from error

    def _receive(self, timeout_s: float) -> dict[str, object]:
        try:
            line = self._lines.get(timeout=timeout_s)
            message = json.loads(line)
        except (queue.Empty, ValueError) as error:
            raise WorkerLost from error
        return cast(dict[str, object], message) if isinstance(message, dict) else {}


def _read_lines(pipe: IO[str] | None, lines: queue.SimpleQueue[str]) -> None:
    """Move lines from a pipe, which cannot be waited for with a bound, to a queue, which can."""
    try:
        for line in pipe or ():
            lines.put(line)
    except (OSError, ValueError):
        pass
    lines.put("")


class Ticket:
    """One caller's right to an answer; giving it up kills the worker that is busy with it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._worker: Worker | None = None
        self.given_up = False

    def give_up(self) -> None:
        """Stop waiting."""
        with self._lock:
            self.given_up = True
            if self._worker is not None:
                self._worker.kill()

    def hold(self, worker: Worker | None) -> bool:
        """Tie it to the worker that serves it now; false once it was given up."""
        with self._lock:
            self._worker = worker
            return not self.given_up


class WorkerPool:
    """At most so many workers, started when first needed and again when one was lost.

    An expression that was too slow or crashed a worker is remembered and not tried again.
    """

    def __init__(
        self, at_most: int, timeout_s: float, command: tuple[str, ...] | None = None
    ) -> None:
        self.timeout_s = timeout_s
        self.lost = 0
        """Workers killed or found dead so far."""
        self._command = command
        self._places = threading.BoundedSemaphore(at_most)
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._known: OrderedDict[str, str | None] = OrderedDict()
        self._lock = threading.Lock()
        self._closed = self._useless = False

    def known(self, tex: str) -> tuple[bool, str | None]:
        """Whether the expression was decided before, and its form."""
        with self._lock:
            return tex in self._known, self._known.get(tex)

    def form(self, tex: str, ticket: Ticket) -> str | None:
        """The form of an expression, or `None`; blocks for at most a start and a time-out or two."""
        with self._places:
            seen, found = self.known(tex)
            if seen or ticket.given_up or self._closed or self._useless:
                return found
            began = time.monotonic()
            found, decided = self._ask(tex, ticket)
            if (
                not decided
                and not ticket.given_up
                and time.monotonic() - began < self.timeout_s / 2
            ):
                found, decided = self._ask(tex, ticket)
            if not ticket.given_up and not self._closed and not self._useless:
                self._remember(tex, found)
            return found

    def close(self) -> None:
        """End every worker; may be called twice and from any thread."""
        with self._lock:
            self._closed = True
            workers, self._all, self._idle = self._all, set(), []
        for worker in workers:
            worker.close()

    def _ask(self, tex: str, ticket: Ticket) -> tuple[str | None, bool]:
        """The form, and whether a worker decided it."""
        worker = None
        try:
            worker = self._worker()
            if worker is None:
                return None, True
            if not ticket.hold(worker):
                return None, False
            found = worker.form(tex, self.timeout_s)
        except (WorkerLost, OSError):
            self._drop(worker)
            return None, False
        finally:
            alive = ticket.hold(None)
        if alive:
            self._put_back(worker)
        else:
            self._drop(worker)
        return found, True

    def _worker(self) -> Worker | None:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        worker = Worker(self._command)
        with self._lock:
            if worker.usable and not self._closed:
                self._all.add(worker)
                return worker
            self._useless = not worker.usable
        worker.close()
        return None

    def _put_back(self, worker: Worker) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(worker)

    def _drop(self, worker: Worker | None) -> None:
        if worker is None:
            return
        with self._lock:
            self.lost += 1
            self._all.discard(worker)
        worker.close()

    def _remember(self, tex: str, form: str | None) -> None:
        with self._lock:
            self._known[tex] = form
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)
