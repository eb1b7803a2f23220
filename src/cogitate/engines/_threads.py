"""Blocking functions in daemonic threads: bounded, abandoned when late, never waited for at the end."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

_THREADS_LOST_PER_THREAD = 3


@dataclass(eq=False)
class _Job:
    # Mutable on purpose: its state moves from queued to running to closed.
    call: Callable[[], Any]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[tuple[Any, BaseException | None]]
    running: bool = False
    closed: bool = False
    """Delivered or given up: whichever comes first settles the accounts."""
    given_up: bool = False


@dataclass(eq=False)
class Threads:
    """Runs blocking calls for an event loop.

    The pool of `concurrent.futures` joins its threads when the interpreter ends, so one function that
    never returns would hang the program; these threads are daemons. A call that is given up keeps its
    thread until it returns, and another thread takes its place, up to three for each of `at_most`.
    """

    # Mutable on purpose: a pool of threads.
    at_most: int
    lost: int = 0
    """Threads held by calls that were given up and have not returned."""
    _alive: int = 0
    _open: int = 0
    _closed: bool = False
    _jobs: queue.SimpleQueue[_Job | None] = field(default_factory=queue.SimpleQueue[_Job | None])
    _lock: threading.Lock = field(default_factory=threading.Lock)

    async def run(
        self, call: Callable[[], Any], timeout_s: float
    ) -> tuple[Any, BaseException | None]:
        """What the call returned, or the exception it raised.

        Raises:
            TimeoutError: when it took longer, waiting for a thread included.
            RuntimeError: after `close`.
        """
        import asyncio

        if self._closed:
            raise RuntimeError("the threads are closed")
        loop = asyncio.get_running_loop()
        job = _Job(call, loop, loop.create_future())
        with self._lock:
            self._open += 1
            self._grow()
        self._jobs.put(job)
        try:
            async with asyncio.timeout(timeout_s):
                return await job.future
        finally:
            self._give_up(job)

    def close(self) -> None:
        """Let idle threads end; those still busy end when their call returns."""
        with self._lock:
            self._closed = True
            for _ in range(self._alive):
                self._jobs.put(None)

    def _grow(self) -> None:
        """Start a thread where an open call would wait for none; the lock is held."""
        useful = self._alive - self.lost
        most = self.at_most * (1 + _THREADS_LOST_PER_THREAD)
        if useful < min(self._open, self.at_most) and self._alive < most:
            self._alive += 1
            threading.Thread(target=self._work, name="cogitate-function", daemon=True).start()

    def _give_up(self, job: _Job) -> None:
        with self._lock:
            if job.closed:
                return
            job.closed = job.given_up = True
            self._open -= 1
            if job.running:
                self.lost += 1
                self._grow()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            with self._lock:
                if job.closed:
                    continue
                job.running = True
            outcome = _outcome(job.call)
            with self._lock:
                if job.given_up:
                    self.lost -= 1
                else:
                    job.closed = True
                    self._open -= 1
                surplus = self._alive - self.lost > self.at_most
                if surplus:
                    self._alive -= 1
            _deliver(job, outcome)
            if surplus:
                return
        with self._lock:
            self._alive -= 1


def _outcome(call: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return call(), None
    except BaseException as error:  # a user's sys.exit() must not end the thread unseen
        return None, error


def _deliver(job: _Job, outcome: tuple[Any, BaseException | None]) -> None:
    def arrive() -> None:
        if not job.future.done():
            job.future.set_result(outcome)

    try:
        job.loop.call_soon_threadsafe(arrive)
    except RuntimeError:
        return  # the loop ended before the call did: nobody waits for it any more
