"""The door of the gateway: who may come in, when, and what it cost."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from cogitate.core.errors import InvalidInput
from cogitate.core.requests import Json
from cogitate.core.usage import Usage

from .keys import ANYONE, Key
from .quotas import Ceiling
from .record import Record
from .refusals import Forbidden, Overloaded, Refusal, Unauthorised
from .turns import Turns

if TYPE_CHECKING:
    from .desk import Desk
    from .shares import Hold

SLOTS: Final = 64
"""Requests in flight at most, where nobody says."""

WAITING: Final = 1024
"""Requests that may wait for a slot, where nobody says."""

GONE: Final = 499
"""The status of a request whose client went away, as nginx writes it."""

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
        desk: Desk | None = None,
    ) -> None:
        self.turns = turns
        """Slots and queue; its `running` and `waiting` are worth a metric."""
        self.clock = clock
        self.needs_keys = needs_keys
        self._desk = desk

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
        from .desk import Desk

        if prompt_days is not None and not 0 < prompt_days < 1e6:
            raise InvalidInput(
                f"prompts for {prompt_days} days were asked for; it is a number above 0"
            )
        turns = Turns(slots, waiting, patience_s=patience_s)
        desk = Desk(url, clock=clock, prompt_days=prompt_days)
        return cls(turns, clock, needs_keys=needs_keys, desk=desk)

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
        return self._desk is not None and self._desk.prompt_days is not None

    async def identify(self, authorization: str | None) -> Key:
        """Whose key this is, without letting a request in: for pages and lists of models.

        Raises:
            Unauthorised: where a key is needed and this is none that is good.
        """
        if not self.needs_keys:
            return ANYONE
        if self._desk is None:
            raise Overloaded("the accounts of this gateway are closed")
        return await self._desk.identify(authorization)

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
                self._settle(key, hold, None)
                raise
            if not self._still_good(key):
                self.turns.give(key.id)
                self._settle(key, hold, None)
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
        desk, self._desk = self._desk, None
        if desk is not None:
            await desk.close()

    # --------------------------------------------------------------------------- the inside

    async def _held(self, key: Key, wanted: Ceiling) -> Hold | None:
        denied = key.allows(model=wanted.model, strategy=wanted.strategy)
        if denied:
            asked = (getattr(wanted, denied) or "none")[:100]
            raise Forbidden(f"this key may not use the {denied} {asked!r}")
        return None if self._desk is None else await self._desk.hold(key, wanted)

    def _settle(self, key: Key, hold: Hold | None, usage: Usage | None) -> None:
        if hold is not None and self._desk is not None:
            self._desk.settle(key, hold, usage)

    def _left(
        self, key: Key, hold: Hold | None, charged: Record | None, admission: Admission
    ) -> None:
        self.turns.give(key.id)
        self._settle(key, hold, None if charged is None else charged.usage)
        wanted = admission.wanted
        self._note(
            charged
            or Record(admission.id, self.clock(), key.id, wanted.model, wanted.strategy, GONE)
        )

    def _note(self, record: Record) -> None:
        if self._desk is not None:
            self._desk.note(record)

    def _still_good(self, key: Key) -> bool:
        return not self.needs_keys or (self._desk is not None and self._desk.usable(key))


def _prompt(prompt: Json) -> str:
    text = json.dumps(prompt, ensure_ascii=True)
    if len(text) <= _LONGEST_PROMPT:
        return text
    return json.dumps({"cut": True, "characters": len(text), "start": text[:_LONGEST_PROMPT]})
