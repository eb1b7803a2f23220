"""The one thread that speaks with the database, so that the event loop never waits for a disk."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlalchemy.exc import OperationalError, SQLAlchemyError

from .record import Record
from .records import keep
from .refusals import Overloaded
from .tables import reason_of

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, Engine

T = TypeVar("T")

_LOG = logging.getLogger(__name__)
_BATCH: Final = 64
_TRIES: Final = 3
_RECORDS: Final = 500
_MOST_RECORDS: Final = 100_000
_AGAIN_S: Final = 1.0
_PATIENCE_S: Final = 5.0
"""After how long a transaction is not tried again."""


@dataclass(frozen=True, slots=True)
class _Work:
    run: Callable[[Connection], Any]
    after: Callable[[Any], None] | None
    failed: Callable[[], None] | None = None
    future: asyncio.Future[Any] | None = None
    loop: asyncio.AbstractEventLoop | None = None


class Writer:
    """Runs what it is given, in order, many in one transaction; writes records behind everybody's back.

    What waits meanwhile is served together, so that sixty-four requests at once cost one transaction. A
    transaction that fails because another process was in its way is tried again.
    """

    def __init__(self, engine: Engine, tick: Callable[[Writer], None], every_s: float) -> None:
        """Start the thread.

        Args:
            engine: the database.
            tick: called in the thread every `every_s` seconds; speaks with the database by `attempt`.
            every_s: how often.
        """
        self.engine = engine
        self.lost = 0
        """Records that were dropped because the database did not take them."""
        self._tick, self._every_s = tick, every_s
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._records: deque[Record] = deque()
        self._closing = False
        self._thread = threading.Thread(target=self._live, name="cogitate-accounts", daemon=True)
        self._thread.start()

    def ask(
        self, run: Callable[[Connection], T], after: Callable[[T], None] | None = None
    ) -> asyncio.Future[T]:
        """Run this in a transaction; the reply comes to the running event loop.

        Args:
            run: may be run again where the transaction failed.
            after: called in the thread of the database when it is written, whoever still waits.

        Raises (at its await):
            Overloaded: where the database cannot be used now.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._work.put(_Work(run, after, None, future, loop))
        return future

    def tell(self, run: Callable[[Connection], Any], failed: Callable[[], None]) -> None:
        """Run this in a transaction, some time soon and in order; `failed` is called where that is impossible."""
        self._work.put(_Work(run, None, failed))

    def attempt(self, run: Callable[[Connection], Any]) -> bool:
        """Run this in a transaction now, in the thread of the database; returns whether it was written."""
        try:
            self._tried(run)
        except Exception as error:
            self._complain(error)
            return False
        return True

    def record(self, record: Record) -> None:
        """Write this some time soon."""
        if len(self._records) < _MOST_RECORDS:
            self._records.append(record)
        else:
            self.lost += 1

    def close(self) -> None:
        """Write what is left and end the thread; may be called twice."""
        if not self._closing:
            self._closing = True
            self._work.put(None)
        self._thread.join()

    def _live(self) -> None:
        due = time.monotonic()
        while True:
            batch: list[_Work] = []
            ending = False
            with contextlib.suppress(queue.Empty):
                found = self._work.get(timeout=max(0.0, due - time.monotonic()))
                while True:
                    if found is None:
                        ending = True
                        break
                    batch.append(found)
                    if len(batch) == _BATCH:
                        break
                    found = self._work.get_nowait()
            if batch:
                self._serve(batch)
            if ending or len(self._records) >= _RECORDS or time.monotonic() >= due:
                self._write()
            if ending:
                return
            if time.monotonic() >= due:
                self._ticked()
                due = time.monotonic() + self._every_s

    def _serve(self, batch: list[_Work]) -> None:
        try:
            done = self._tried(lambda connection: [work.run(connection) for work in batch])
        except Exception as error:
            if len(batch) > 1 and not isinstance(error, OperationalError):
                for work in batch:  # one of them is at fault, and the others need not suffer
                    self._serve([work])
                return
            self._complain(error)
            for work in batch:
                if work.failed is not None:
                    work.failed()
            done = [_refused(error)] * len(batch)
        else:
            for work, result in zip(batch, done, strict=True):
                if work.after is not None:
                    work.after(result)
        self._deliver(batch, done)

    def _tried(self, run: Callable[[Connection], T]) -> T:
        began = time.monotonic()
        for left in range(_TRIES - 1, -1, -1):
            try:
                with self.engine.begin() as connection:
                    return run(connection)
            except OperationalError:
                if not left or time.monotonic() - began > _PATIENCE_S:
                    raise
                time.sleep(0.01)
        raise AssertionError

    def _deliver(self, batch: list[_Work], done: list[Any]) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
        for work, result in zip(batch, done, strict=True):
            if work.future is not None and work.loop is not None:
                by_loop.setdefault(work.loop, []).append((work.future, result))
        for loop, answers in by_loop.items():
            with contextlib.suppress(RuntimeError):  # a loop that is closed waits for nothing
                loop.call_soon_threadsafe(_answer, answers)

    def _write(self) -> None:
        # Taken one by one from a deque: the event loop adds to its other end meanwhile.
        records = [self._records.popleft() for _ in range(len(self._records))]
        if not records:
            return
        try:
            self._tried(lambda connection: keep(connection, records))
        except OperationalError as error:
            self._complain(error)
            self._records.extendleft(reversed(records))  # the database is away; it will come back
        except Exception:
            for record in records:  # one of them cannot be stored, and the others need not suffer
                kept = self.attempt(partial(keep, records=[record]))
                self.lost += not kept

    def _ticked(self) -> None:
        try:
            self._tick(self)
        except Exception as error:  # the thread outlives it: requests wait for it
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        # Not its traceback: parameters of statements hold names of models that clients sent.
        said = reason_of(error) if isinstance(error, SQLAlchemyError) else type(error).__name__
        _LOG.warning("the accounts of the gateway could not be written: %s", said)


def _refused(error: Exception) -> Exception:
    if isinstance(error, SQLAlchemyError):
        return Overloaded("the accounts of this gateway cannot be used now", _AGAIN_S)
    return error


def _answer(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in answers:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
