"""The door of the gateway: who may come in, when, and what it cost."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from cogitate.core.errors import InvalidInput
from cogitate.core.requests import Json
from cogitate.core.usage import Usage

from .keys import ANYONE, Key, presented
from .quotas import Ceiling, spent, to_hold
from .records import DAY_S, Record
from .refusals import Forbidden, Overloaded, QuotaExceeded, Refusal, Unauthorised
from .turns import Turns

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from .holds import Hold
    from .keyring import Keyring
    from .writer import Writer

SLOTS: Final = 64
"""Requests in flight at most, where nobody says."""

WAITING: Final = 1024
"""Requests that may wait for a slot, where nobody says."""

GONE: Final = 499
"""The status of a request whose client went away, as nginx writes it."""

_TICK_S: Final = 0.4
"""How often the keys are looked at: a revoked one is refused within a second."""
_BEAT_S: Final = 3.0
_LIFE_S: Final = 15.0
"""After how long without a sign of life what a process holds is given back."""
_HOUR_S: Final = 3600.0
_LONGEST_WINDOW_S: Final = 40.0 * DAY_S
_LONGEST_PROMPT: Final = 1_000_000


class Admission:
    """A request that was let in: a slot, and what it may cost at most, held until it is left.

    Leave it with `async with` or `close`. What was charged until then counts; without a charge everything is
    given back.
    """

    def __init__(
        self, accounts: Accounts, key: Key, id: str, wanted: Ceiling, hold: Hold | None
    ) -> None:
        self.key = key
        """Who asks; never the secret."""
        self.id = id
        """The request's id, as in the audit."""
        self.wanted = wanted
        self._accounts, self._hold = accounts, hold
        self._charged: Record | None = None
        self._open = True

    async def charge(
        self,
        usage: Usage,
        *,
        status: int,
        model: str,
        strategy: str,
        seconds: float,
        prompt: Json | None = None,
    ) -> None:
        """Say what it cost; counted when the admission is left, and once only.

        Args:
            usage: of all calls and roles; `usd` is `None` where nobody knows.
            status: what the client was answered.
            model: the model that served it.
            strategy: empty for a plain pass-through.
            seconds: wall-clock.
            prompt: what was asked; kept only where prompts are kept.
        """
        if self._charged is not None or not self._open:
            raise RuntimeError("a request is charged once, before its admission is left")
        at, kept = self._accounts.clock(), self._accounts.keeps_prompts and prompt is not None
        self._charged = Record(
            self.id,
            at,
            self.key.id,
            model,
            strategy,
            status,
            usage,
            seconds,
            _prompt(prompt) if kept else None,
        )

    async def close(self) -> None:
        """Give the slot back, and what was held but not spent; may be called twice."""
        if self._open:
            self._open = False
            self._accounts._left(self.key, self._hold, self._charged, self)  # pyright: ignore[reportPrivateUsage]

    async def __aenter__(self) -> Admission:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class Accounts:
    """Who may use the gateway and what they have used; `open` and `none` make one.

    Serves one event loop. Several processes may share a database: quotas hold over all of them, slots and
    the queue are each process's own.
    """

    def __init__(
        self,
        turns: Turns,
        clock: Callable[[], float],
        *,
        needs_keys: bool,
        prompt_days: float | None = None,
    ) -> None:
        self.turns = turns
        """Slots and queue; its `running` and `waiting` are worth a metric."""
        self.clock = clock
        self.needs_keys = needs_keys
        self.prompt_days = prompt_days
        self._process = secrets.token_hex(8)
        self._count = 0
        self._keyring: Keyring | None = None
        self._writer: Writer | None = None
        self._refresh: asyncio.Future[Any] | None = None
        self._due = {"beat": 0.0, "hour": 0.0}

    @classmethod
    def open(
        cls,
        url: str | Path | None = None,
        *,
        clock: Callable[[], float] = time.time,
        slots: int = SLOTS,
        waiting: int = WAITING,
        patience_s: float | None = None,
        needs_keys: bool = True,
        prompt_days: float | None = None,
    ) -> Accounts:
        """The accounts in a database, which is made where it does not exist.

        Args:
            url: an URL of SQLAlchemy, a path, or `None` for the user's data directory.
            clock: seconds of the epoch.
            slots: requests in flight at most.
            waiting: requests that may wait for a slot at most.
            patience_s: how long one waits at most.
            needs_keys: whether a request needs a key; without, it is only counted.
            prompt_days: how long prompts are kept; `None`: they are never written.

        Raises:
            InvalidInput: where the database cannot be used.
        """
        from .keyring import Keyring
        from .tables import opened
        from .writer import Writer

        if prompt_days is not None and not 0 < prompt_days < 1e6:
            raise InvalidInput(
                f"prompts for {prompt_days} days were asked for; it is a number above 0"
            )
        made = cls(
            Turns(slots, waiting, patience_s=patience_s),
            clock,
            needs_keys=needs_keys,
            prompt_days=prompt_days,
        )
        engine = opened(url)
        made._keyring = Keyring()
        with engine.begin() as connection:
            made._tick(connection)
        made._writer = Writer(engine, made._tick, _TICK_S)
        return made

    @classmethod
    def none(
        cls,
        *,
        clock: Callable[[], float] = time.time,
        slots: int = SLOTS,
        waiting: int = WAITING,
        patience_s: float | None = None,
    ) -> Accounts:
        """No keys and no database: anyone may come in, and only slots and queue are kept.

        >>> Accounts.none(slots=8).needs_keys
        False
        """
        return cls(Turns(slots, waiting, patience_s=patience_s), clock, needs_keys=False)

    @property
    def keeps_prompts(self) -> bool:
        """Whether prompts are written down."""
        return self.prompt_days is not None and self._writer is not None

    async def identify(self, authorization: str | None) -> Key:
        """Whose key this is, without letting a request in: for pages and lists of models.

        Raises:
            Unauthorised: where a key is needed and this is none that is good.
        """
        if not self.needs_keys:
            return ANYONE
        if self._keyring is None or self._writer is None:
            raise Overloaded("the accounts of this gateway are closed")
        given = presented(authorization)
        if given is not None and not self._keyring.knows(given[0]):
            await self._refreshed(self._keyring, self._writer)  # it may have been made this moment
        return self._keyring.identify(authorization, self.clock())

    async def admit(
        self, authorization: str | None, *, wanted: Ceiling, request_id: str = ""
    ) -> Admission:
        """Let a request in: know its key, hold what it may cost, wait for a slot.

        Cancelling it, as when the client goes away, takes it out of the queue and gives everything back.

        Args:
            authorization: the header of that name.
            wanted: what it may cost at most, and of which model and strategy.
            request_id: what to call it in the audit; random where it is empty.

        Raises:
            Unauthorised: 401; no key, or one that is unknown, revoked or expired.
            Forbidden: 403; not this model or strategy, or a cost that nobody can bound.
            QuotaExceeded: 429; with how long to wait, where waiting helps.
            Overloaded: 503; too many wait for a slot.
        """
        key = await self.identify(authorization)
        id = request_id or f"req_{secrets.token_hex(12)}"
        began = self.clock()
        try:
            hold = await self._held(key, wanted)
            try:
                await self.turns.take(key.id)
            except BaseException:
                self._give_back(hold)
                raise
            if not self._still_good(key):
                self.turns.give(key.id)
                self._give_back(hold)
                raise Unauthorised(
                    f"the key {key.id} was revoked or expired while the request waited"
                )
        except (Refusal, asyncio.CancelledError) as error:
            status = error.status if isinstance(error, Refusal) else GONE
            seconds = max(0.0, self.clock() - began)
            self._note(
                Record(
                    id, self.clock(), key.id, wanted.model, wanted.strategy, status, seconds=seconds
                )
            )
            raise
        return Admission(self, key, id, wanted, hold)

    async def close(self) -> None:
        """Write what is left, give back what this process holds, and close the database."""
        writer, self._writer = self._writer, None
        if writer is not None:
            from .holds import leave

            writer.tell(partial(leave, process=self._process))
            await asyncio.to_thread(writer.close)
            writer.engine.dispose()

    # --------------------------------------------------------------------------- the inside

    async def _held(self, key: Key, wanted: Ceiling) -> Hold | None:
        denied = key.allows(model=wanted.model, strategy=wanted.strategy)
        if denied:
            asked = (getattr(wanted, denied) or "none")[:100]
            raise Forbidden(f"this key may not use the {denied} {asked!r}")
        limits = key.limits
        if not limits or self._writer is None:
            return None
        from .holds import Denial, hold

        amounts, unknown = to_hold(wanted, limits)
        if unknown:
            raise Forbidden(
                f"this key has a quota of {unknown}, and how much of it the request may take is unknown; "
                "bound its output, or have the model given a price"
            )
        self._count += 1
        name = f"{self._process}-{self._count}"
        asked = self._writer.ask(
            lambda connection: hold(
                connection,
                key.id,
                limits,
                amounts,
                id=name,
                process=self._process,
                now=self.clock(),
            )
        )
        try:
            found = await asyncio.shield(asked)
        except asyncio.CancelledError:
            asked.add_done_callback(self._unwanted)
            raise
        if isinstance(found, Denial):
            raise QuotaExceeded(found.reason, found.retry_after_s)
        return found

    def _unwanted(self, asked: asyncio.Future[Any]) -> None:
        """A hold arrived for a client that has gone."""
        from .holds import Hold

        if not asked.cancelled() and asked.exception() is None:
            found = asked.result()
            self._give_back(found if isinstance(found, Hold) else None)

    def _give_back(self, hold: Hold | None) -> None:
        self._settle(hold, None)

    def _settle(self, hold: Hold | None, usage: Usage | None) -> None:
        if hold is not None and self._writer is not None:
            from .holds import settle

            counted = None if usage is None else spent(usage, hold.amounts)
            self._writer.tell(partial(settle, held=hold, spent=counted))

    def _left(
        self, key: Key, hold: Hold | None, charged: Record | None, admission: Admission
    ) -> None:
        self.turns.give(key.id)
        self._settle(hold, None if charged is None else charged.usage)
        wanted = admission.wanted
        self._note(
            charged
            or Record(admission.id, self.clock(), key.id, wanted.model, wanted.strategy, GONE)
        )

    def _note(self, record: Record) -> None:
        if self._writer is not None:
            self._writer.record(record)

    def _still_good(self, key: Key) -> bool:
        if not self.needs_keys or self._keyring is None:
            return True
        return self._keyring.usable(key.id, self.clock())

    async def _refreshed(self, keyring: Keyring, writer: Writer) -> None:
        """Look for new keys; whoever asks at the same moment shares the look."""
        if self._refresh is None or self._refresh.done():
            self._refresh = writer.ask(keyring.refresh)
        await asyncio.shield(self._refresh)

    def _tick(self, connection: Connection) -> None:
        from .holds import beat, forget, reclaim
        from .records import purge

        now = self.clock()
        if self._keyring is not None:
            self._keyring.refresh(connection)
        if not 0 <= now - self._due["beat"] < _BEAT_S:
            self._due["beat"] = now
            beat(connection, self._process, now + _LIFE_S)
            reclaim(connection, now)
        if not 0 <= now - self._due["hour"] < _HOUR_S:
            self._due["hour"] = now
            forget(connection, now - _LONGEST_WINDOW_S)
            if self.prompt_days is not None:
                purge(connection, now - self.prompt_days * DAY_S)


def _prompt(prompt: Json) -> str:
    text = json.dumps(prompt, ensure_ascii=True)
    if len(text) <= _LONGEST_PROMPT:
        return text
    return json.dumps({"cut": True, "characters": len(text), "start": text[:_LONGEST_PROMPT]})
