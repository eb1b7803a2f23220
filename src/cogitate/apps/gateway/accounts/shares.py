"""What this process may let in without asking the database: its shares of the quotas of keys.

A share is what the process holds in the database; requests in flight hold parts of it, and what they spent
is taken from it until it is counted there. What all processes hold and what is counted never exceeds a
quota, and no process lets in more than it holds: so no quota is exceeded, and most requests are let in
within microseconds. Used by the event loop and by the thread of the database.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from .holds import Denial, Grant, Need, Place, Settled
from .quotas import NOW, Amounts, less, plus, start_of

_NOTHING: Amounts = (0, 0, 0, 0)


@dataclass(slots=True)
class _Share:
    granted: Amounts = _NOTHING
    """Held in the database."""
    held: Amounts = _NOTHING
    """Of requests in flight."""
    spent: Amounts = _NOTHING
    """Not yet counted in the database."""
    lately: Amounts = _NOTHING
    """Taken since the last settling: worth keeping for what comes next."""
    denied: tuple[float, Amounts, Denial] | None = None
    """Until when what at least is refused without asking again."""

    @property
    def free(self) -> Amounts:
        return less(less(self.granted, self.held), self.spent)


@dataclass(frozen=True, slots=True)
class Hold:
    """What a request in flight holds."""

    places: tuple[Place, ...]
    amounts: Amounts


class Shares:
    """The shares of one process."""

    def __init__(self) -> None:
        self._shares: dict[Place, _Share] = {}
        self._lock = threading.Lock()
        self.alone = True
        """Whether no other process serves from the database; else what is not needed is given back."""

    def take(
        self, key_id: str, limits: Sequence[tuple[str, Amounts]], amounts: Amounts, now: float
    ) -> Hold | Denial | list[Need]:
        """Hold this at all places of a key, or say what is lacking where, or why it was refused just now."""
        places = tuple(Place(key_id, window, start_of(window, now)) for window, _ in limits)
        needs: list[Need] = []
        with self._lock:
            shares = [self._shares.setdefault(place, _Share()) for place in places]
            for place, share, (_, most) in zip(places, shares, limits, strict=True):
                lacking = _above(amounts, share.free)
                if lacking == _NOTHING:
                    continue
                refused = _refusal(place, share, most, amounts, now)
                if refused is not None:
                    return refused
                needs.append(Need(place, most, lacking, amounts))
            if needs:
                return needs
            for share in shares:
                share.held = plus(share.held, amounts)
                share.lately = plus(share.lately, amounts)
        return Hold(places, amounts)

    def granted(self, grants: Sequence[Grant]) -> None:
        """The database holds so much more for this process."""
        with self._lock:
            for grant in grants:
                share = self._shares.setdefault(grant.place, _Share())
                share.granted = plus(share.granted, grant.amounts)
                share.denied = None

    def refused(self, denial: Denial, amounts: Amounts, until: float) -> None:
        """The database refused this; it would again until that time, whoever asks for as much."""
        with self._lock:
            self._shares.setdefault(denial.place, _Share()).denied = (until, amounts, denial)

    def settle(self, hold: Hold, spent: Amounts | None) -> bool:
        """Give back what a request held, and count what it spent; returns whether others may wait for it."""
        counted = _NOTHING if spent is None else spent
        with self._lock:
            for place in hold.places:
                share = self._shares.setdefault(place, _Share())
                share.held = less(share.held, hold.amounts)
                if place.window != NOW:
                    share.spent = plus(share.spent, counted)
                share.denied = None
        return not self.alone and any(place.window == NOW for place in hold.places)

    def due(
        self, now: float, *, window: str = "", key_id: str | None = None, all: bool = False
    ) -> list[Settled]:
        """What is to be counted and given back; the shares are less by it from now on.

        Args:
            now: seconds of the epoch.
            window: of this window only.
            key_id: of this key only.
            all: give back everything that no request in flight holds.
        """
        found: list[Settled] = []
        with self._lock:
            for place, share in list(self._shares.items()):
                if window not in ("", place.window) or key_id not in (None, place.key_id):
                    continue
                over = start_of(place.window, now) != place.start
                back = _above(share.free, _NOTHING)
                if not (all or over):
                    back = _NOTHING if self.alone else _surplus(place, share, back)
                gone = _least(plus(share.spent, back), share.granted)
                if gone != _NOTHING or share.spent != _NOTHING:
                    found.append(Settled(place, share.spent, gone))
                share.granted = less(share.granted, gone)
                share.spent = share.lately = _NOTHING
                if over and share.held == _NOTHING:
                    del self._shares[place]
        return found

    def restore(self, items: Sequence[Settled]) -> None:
        """Those could not be written: they are due again."""
        with self._lock:
            for item in items:
                share = self._shares.setdefault(item.place, _Share())
                share.spent = plus(share.spent, item.spent)
                share.granted = plus(share.granted, item.less)

    def lost(self) -> None:
        """Other processes took this one for dead: nothing is held for it any longer."""
        with self._lock:
            for share in self._shares.values():
                share.granted = _NOTHING


def _refusal(
    place: Place, share: _Share, most: Amounts, asked: Amounts, now: float
) -> Denial | None:
    """Why the database need not be asked."""
    if place.window == NOW and share.granted[0] >= most[0]:
        return Denial(
            f"{most[0]} requests of this key are in flight, and no more may be", 1.0, place
        )
    if share.denied is not None:
        until, amounts, denial = share.denied
        if now < until and all(a >= b for a, b in zip(asked, amounts, strict=True)):
            return denial
    return None


def _surplus(place: Place, share: _Share, free: Amounts) -> Amounts:
    return free if place.window == NOW else _above(free, share.lately)


def _above(these: Amounts, those: Amounts) -> Amounts:
    """By how much these exceed those, each at least 0."""
    a, b, c, d = these
    e, f, g, h = those
    return (max(0, a - e), max(0, b - f), max(0, c - g), max(0, d - h))


def _least(these: Amounts, those: Amounts) -> Amounts:
    a, b, c, d = these
    e, f, g, h = those
    return (min(a, e), min(b, f), min(c, g), min(d, h))
