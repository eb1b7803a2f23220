"""What a server does between its event loop and its accounts, without either; runs in processes of its own, too."""

from __future__ import annotations

from sqlalchemy.engine import Engine

from cogitate.apps.gateway.accounts import Quota, holds
from cogitate.apps.gateway.accounts.holds import Denial
from cogitate.apps.gateway.accounts.quotas import Amounts, limits
from cogitate.apps.gateway.accounts.shares import Hold, Shares

NOW = 1_800_000_000.0
QUOTA = limits([Quota("tokens", 1000, "total"), Quota("requests", 400, "total")], 16)
"""For 100 requests of ten tokens each."""


class Process:
    """What a server does between its event loop and the database, without either."""

    def __init__(self, engine: Engine, name: str, *, alone: bool = False) -> None:
        self.engine, self.name = engine, name
        self.shares = Shares()
        self.shares.alone = alone
        self.now = NOW
        self.live()

    def live(self) -> None:
        with self.engine.begin() as connection:
            if not holds.beat(connection, self.name, self.now + 15):
                self.shares.lost()

    def admit(
        self, key: str, bounds: tuple[tuple[str, Amounts], ...], amounts: Amounts
    ) -> Hold | Denial:
        for _ in range(20):
            found = self.shares.take(key, bounds, amounts, self.now)
            if not isinstance(found, list):
                return found
            with self.engine.begin() as connection:
                granted = holds.grant(
                    connection, self.name, found, now=self.now, alone=self.shares.alone
                )
            if isinstance(granted, Denial):
                return granted
            self.shares.granted(granted)
        raise AssertionError("neither let in nor refused")

    def leave(self, hold: Hold, spent: Amounts | None) -> None:
        if self.shares.settle(hold, spent):
            self.write(window="now")

    def write(self, *, window: str = "", all: bool = False) -> None:
        due = self.shares.due(self.now, window=window, all=all)
        with self.engine.begin() as connection:
            holds.settle(connection, self.name, due)

    def close(self) -> None:
        self.write(all=True)
        with self.engine.begin() as connection:
            holds.leave(connection, self.name)
