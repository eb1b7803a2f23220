"""What stands between the door and the database: keys in memory, shares of quotas, one thread that writes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cogitate.core.usage import Usage

from . import holds, records
from .holds import Denial, Grant
from .keyring import Keyring
from .keys import Key, presented
from .quotas import NOW, Amounts, Ceiling, spent, to_hold
from .record import Record
from .refusals import Forbidden, Overloaded, QuotaExceeded
from .shares import Hold, Shares
from .tables import opened
from .writer import Writer

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_TICK_S: Final = 0.4
"""How often the keys are looked at: a revoked one is refused within a second."""
_BEAT_S: Final = 3.0
_LIFE_S: Final = 15.0
"""After how long without a sign of life what a process holds is given back."""
_STALE_S: Final = 30.0
"""After how long without a look at the keys nobody is let in: a revoked one might be."""
_ASK_AGAIN_S: Final = 0.25
"""For how long a quota that was refused is refused without asking the database again."""
_TRIES: Final = 8
_HOUR_S: Final = 3600.0
_LONGEST_WINDOW_S: Final = 40.0 * records.DAY_S


class Desk:
    """The accounts of one process in a database that it may share with others."""

    def __init__(
        self,
        where: str | Path | None,
        *,
        clock: Callable[[], float],
        prompt_days: float | None = None,
    ) -> None:
        """Open the database, and give back what processes that died still held.

        Args:
            where: an URL, a path, or `None` for the user's data directory.
            clock: seconds of the epoch.
            prompt_days: how long prompts are kept.
        """
        self.keyring = Keyring()
        self.prompt_days = prompt_days
        self._clock = clock
        self._process = secrets.token_hex(8)
        self._shares = Shares()
        self._asking: dict[str, asyncio.Lock] = {}
        self._refresh: asyncio.Future[bool] | None = None
        self._due = {"beat": clock(), "hour": 0.0}
        engine = opened(where)
        with engine.begin() as connection:
            self._beat(connection)
            self._look(connection)
        self._writer = Writer(engine, self._tick, _TICK_S)

    async def identify(self, authorization: str | None) -> Key:
        """Whose key this is.

        Raises:
            Unauthorised: where it is none that is good.
            Overloaded: where the keys could not be read for a while.
        """
        given = presented(authorization)
        if given is not None and not self.keyring.knows(given[0]):
            await self._refreshed()  # it may have been made this moment
        if self.keyring.age_s > _STALE_S:
            raise Overloaded("the accounts of this gateway cannot be read now", _STALE_S)
        return self.keyring.identify(authorization, self._clock())

    async def hold(self, key: Key, wanted: Ceiling) -> Hold | None:
        """Hold what a request may cost; `None` where the key has no quota.

        Raises:
            Forbidden: where nobody knows what it may cost in a unit that a quota bounds.
            QuotaExceeded: where it does not fit.
        """
        if not key.limits:
            return None
        amounts, unknown = to_hold(wanted, key.limits)
        if unknown:
            raise Forbidden(
                f"this key has a quota of {unknown}, and how much of it the request may take is unknown; "
                "bound its output, or have the model given a price"
            )
        found = self._shares.take(key.id, key.limits, amounts, self._clock())
        if isinstance(found, list):
            async with self._asking.setdefault(key.id, asyncio.Lock()):
                found = await self._fetched(key, amounts)
        if isinstance(found, Hold):
            return found
        raise QuotaExceeded(found.reason, found.retry_after_s)

    def settle(self, key: Key, hold: Hold, usage: Usage | None) -> None:
        """Give back what a request held, and count what it spent; `None`: it did not happen."""
        counted = None if usage is None else spent(usage, hold.amounts, key.limits)
        if self._shares.settle(hold, counted):
            self._settle_now(self._shares.due(self._clock(), window=NOW))

    def usable(self, key: Key) -> bool:
        """Whether a key that was identified is still good."""
        return self.keyring.usable(key.id, self._clock())

    def note(self, record: Record) -> None:
        """Write a record some time soon."""
        self._writer.record(record)

    async def close(self) -> None:
        """Write what is left, give back what this process holds, and close the database."""
        due = self._shares.due(self._clock(), all=True)
        self._writer.tell(partial(holds.settle, process=self._process, items=due), _ignored)
        self._writer.tell(partial(holds.leave, process=self._process), _ignored)
        await asyncio.to_thread(self._writer.close)
        self._writer.engine.dispose()

    # --------------------------------------------------------------------------- the inside

    async def _refreshed(self) -> None:
        """Look for new keys; whoever asks at the same moment shares the look."""
        if self._refresh is None or self._refresh.done():
            self._refresh = self._writer.ask(self.keyring.refresh)
        await asyncio.shield(self._refresh)

    async def _fetched(self, key: Key, amounts: Amounts) -> Hold | Denial:
        """Have the database hold more for this process, until the request fits or is refused."""
        counted = False
        for _ in range(_TRIES):
            now = self._clock()
            found = self._shares.take(key.id, key.limits, amounts, now)
            if not isinstance(found, list):
                return found
            asked = partial(
                holds.grant, process=self._process, needs=found, now=now, alone=self._shares.alone
            )
            # What is granted belongs to the process, so that nothing is lost where the client goes away.
            granted = await self._writer.ask(asked, self._granted)
            if isinstance(granted, Denial):
                if counted:
                    self._shares.refused(granted, amounts, now + _ASK_AGAIN_S)
                    return granted
                # Count what was spent, and give back what a client that went away had asked for, before
                # it is said what is left and when.
                counted = True
                self._settle_now(self._shares.due(now, key_id=key.id, all=True))
        raise QuotaExceeded("others of this key took what was left at this moment", 1.0)

    def _settle_now(self, due: list[holds.Settled]) -> None:
        self._writer.tell(
            partial(holds.settle, process=self._process, items=due),
            partial(self._shares.restore, due),
        )

    def _granted(self, found: list[Grant] | Denial) -> None:
        if isinstance(found, list):
            self._shares.granted(found)

    def _tick(self, writer: Writer) -> None:
        """What is done every little while, in the thread of the database."""
        now = self._clock()
        writer.attempt(self._look)
        if not 0 <= now - self._due["beat"] < _BEAT_S:
            self._due["beat"] = now
            writer.attempt(self._beat)
        self._count(writer, now)
        if not 0 <= now - self._due["hour"] < _HOUR_S:
            self._due["hour"] = now
            writer.attempt(self._clean)

    def _look(self, connection: Connection) -> None:
        self.keyring.refresh(connection)
        self._shares.alone = holds.alone(connection, self._process)

    def _beat(self, connection: Connection) -> None:
        if not holds.beat(connection, self._process, self._clock() + _LIFE_S):
            self._shares.lost()
        holds.reclaim(connection, self._clock())

    def _count(self, writer: Writer, now: float) -> None:
        due = self._shares.due(now)
        if due and not writer.attempt(partial(holds.settle, process=self._process, items=due)):
            self._shares.restore(due)

    def _clean(self, connection: Connection) -> None:
        holds.forget(connection, self._clock() - _LONGEST_WINDOW_S)
        if self.prompt_days is not None:
            records.purge(connection, self._clock() - self.prompt_days * records.DAY_S)


def _ignored() -> None:
    """Nothing can be done: what this process held is given back by others after a while."""
