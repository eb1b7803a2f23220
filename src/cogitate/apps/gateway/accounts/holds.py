"""Two-phase counting in the database: what a process may let in is held first, and counted when it is spent.

Whether it fits is part of the statement that holds it, so no two processes can both take what is left for
one. A process holds a little more than it needs, so that most requests need no database (`shares`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from .quotas import NOW, UNBOUNDED, UNITS, Amounts, end_of, of_unit, plus, start_of
from .tables import COUNTERS, HOLDS, PROCESSES

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, RowMapping

_SOON_S: Final = 1.0
"""When to ask again, where only what is in flight stands in the way."""
_AHEAD: Final = 31
"""For how many more requests like this one a process holds, where there is plenty."""
_FAR_AHEAD: Final = 255
"""The same where no other process could need them."""
_PART: Final = 4
"""Of what nobody holds a process takes no more than one part in so many beyond its need."""
_TRIES: Final = 5

_COUNTER = (
    (COUNTERS.c.key_id == bindparam("of_key"))
    & (COUNTERS.c.window == bindparam("of_window"))
    & (COUNTERS.c.start == bindparam("of_start"))
)
_OWN = (
    (HOLDS.c.process == bindparam("of_process"))
    & (HOLDS.c.key_id == bindparam("of_key"))
    & (HOLDS.c.window == bindparam("of_window"))
    & (HOLDS.c.start == bindparam("of_start"))
)
_FIND = select(COUNTERS).where(_COUNTER)
_HOLD = (
    update(COUNTERS)
    .where(
        _COUNTER,
        *(
            COUNTERS.c[f"used_{unit}"] + COUNTERS.c[f"held_{unit}"] + bindparam(f"more_{unit}")
            <= bindparam(f"most_{unit}")
            for unit in UNITS
        ),
    )
    .values({f"held_{u}": COUNTERS.c[f"held_{u}"] + bindparam(f"more_{u}") for u in UNITS})
)
_COUNT = (
    update(COUNTERS)
    .where(_COUNTER)
    .values(
        {f"held_{u}": COUNTERS.c[f"held_{u}"] - bindparam(f"less_{u}") for u in UNITS}
        | {f"used_{u}": COUNTERS.c[f"used_{u}"] + bindparam(f"spent_{u}") for u in UNITS}
    )
)
_MORE_OWN = (
    update(HOLDS).where(_OWN).values({u: HOLDS.c[u] + bindparam(f"more_{u}") for u in UNITS})
)
_LESS_OWN = (
    update(HOLDS).where(_OWN).values({u: HOLDS.c[u] - bindparam(f"less_{u}") for u in UNITS})
)
_NONE_OWN = delete(HOLDS).where(_OWN, *(HOLDS.c[unit] == 0 for unit in UNITS))


@dataclass(frozen=True, slots=True)
class Place:
    """A counter: of a key, in a window that began at a time."""

    key_id: str
    window: str
    start: int


@dataclass(frozen=True, slots=True)
class Need:
    """What a request lacks at a place."""

    place: Place
    most: Amounts
    """The limits there."""
    lacking: Amounts
    """What is to be held beyond what this process holds already."""
    asked: Amounts
    """What the request may cost."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a process holds more at a place from now on."""

    place: Place
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request does not fit."""

    reason: str
    retry_after_s: float | None
    place: Place


@dataclass(frozen=True, slots=True)
class Settled:
    """What was spent at a place, and what is no longer held there."""

    place: Place
    spent: Amounts
    less: Amounts


def grant(
    connection: Connection, process: str, needs: Sequence[Need], *, now: float, alone: bool
) -> list[Grant] | Denial:
    """Hold what is lacking at every place, or nothing anywhere.

    Args:
        connection: within a transaction.
        process: who holds it.
        needs: of one key, in the order of its limits.
        now: seconds of the epoch.
        alone: whether no other process serves; else one holds no concurrency in advance.
    """
    done: list[Grant] = []
    for need in needs:
        found = _granted(connection, process, need, alone)
        if found is None:
            for other in done:
                settle(connection, process, [Settled(other.place, _NOTHING, other.amounts)])
            row = connection.execute(_FIND, _at(need.place)).mappings().one()
            return _denial(need, row, now)
        done.append(found)
    return done


def settle(connection: Connection, process: str, items: Sequence[Settled]) -> None:
    """Count what was spent, and hold so much less."""
    for item in items:
        at = _at(item.place)
        less = _named("less", item.less)
        own = at | {"of_process": process}
        held = any(item.less) and connection.execute(_LESS_OWN, own | less).rowcount
        if not held:  # given back already, because this process was taken for dead
            less = _named("less", _NOTHING)
        connection.execute(_COUNT, at | less | _named("spent", item.spent))
        connection.execute(_NONE_OWN, own)


def beat(connection: Connection, process: str, alive_until: float) -> bool:
    """Say that a process lives; returns whether it was known, else nothing it held is held any longer."""
    known = update(PROCESSES).where(PROCESSES.c.id == process).values(alive_until=alive_until)
    if connection.execute(known).rowcount:
        return True
    leave(connection, process)
    connection.execute(insert(PROCESSES).values(id=process, alive_until=alive_until))
    return False


def alone(connection: Connection, process: str) -> bool:
    """Whether no other process serves from this database."""
    others = select(func.count()).select_from(PROCESSES).where(PROCESSES.c.id != process)
    return not connection.scalar(others)


def leave(connection: Connection, process: str) -> bool:
    """Give back everything that a process holds, and forget it; returns whether it held anything."""
    gone = delete(HOLDS).where(HOLDS.c.process == process).returning(*HOLDS.c)
    rows = connection.execute(gone).mappings().all()
    for row in rows:
        at = _at(Place(row["key_id"], row["window"], row["start"]))
        less: Amounts = (row["requests"], row["tokens"], row["tokens_out"], row["usd"])
        connection.execute(_COUNT, at | _named("less", less) | _named("spent", _NOTHING))
    connection.execute(delete(PROCESSES).where(PROCESSES.c.id == process))
    return bool(rows)


def reclaim(connection: Connection, now: float) -> int:
    """Give back what processes hold that gave no sign of life in time; returns how many held something."""
    late = select(PROCESSES.c.id).where(PROCESSES.c.alive_until < now)
    living = select(PROCESSES.c.id)
    orphans = select(HOLDS.c.process).where(HOLDS.c.process.not_in(living)).distinct()
    gone = {*connection.scalars(late), *connection.scalars(orphans)}
    return sum(leave(connection, process) for process in sorted(gone))


def forget(connection: Connection, before: float) -> None:
    """Drop the counters of windows that began long ago; those of whole lives stay."""
    connection.execute(
        delete(COUNTERS).where(
            COUNTERS.c.start > 0, COUNTERS.c.start < int(before), COUNTERS.c.held_requests == 0
        )
    )


def standing(connection: Connection, key_id: str, now: float) -> dict[str, dict[str, Any]]:
    """What a key has used and what is held for it, by window that runs now and by unit."""
    rows = connection.execute(select(COUNTERS).where(COUNTERS.c.key_id == key_id)).mappings()
    return {
        row["window"]: {
            state: {u: of_unit(u, row[f"{state}_{u}"]) for u in UNITS} for state in ("used", "held")
        }
        for row in rows
        if row["start"] == start_of(row["window"], now)
    }


def held_in_all(connection: Connection) -> tuple[int, int]:
    """The sums of everything held, by counters and by processes: equal always, zero when all have left."""
    found: list[int] = []
    for table, prefix in ((COUNTERS, "held_"), (HOLDS, "")):
        every = sum((table.c[prefix + unit] for unit in UNITS[1:]), table.c[prefix + UNITS[0]])
        found.append(int(connection.scalar(select(func.coalesce(func.sum(every), 0))) or 0))
    return found[0], found[1]


_NOTHING: Final[Amounts] = (0, 0, 0, 0)


def _granted(connection: Connection, process: str, need: Need, alone: bool) -> Grant | None:
    at = _at(need.place)
    for _ in range(_TRIES):
        row = connection.execute(_FIND, at).mappings().first()
        if row is None:
            _begin(connection, need.place)
            continue
        amounts = _generous(need, row, alone)
        if amounts is None:
            return None
        more = _named("more", amounts)
        if connection.execute(_HOLD, at | more | _named("most", need.most)).rowcount:
            own = at | {"of_process": process}
            if not connection.execute(_MORE_OWN, own | more).rowcount:
                _begin_own(connection, process, need.place, amounts)
            return Grant(need.place, amounts)
    return None  # others were faster five times over: there is next to nothing left


def _generous(need: Need, row: RowMapping, alone: bool) -> Amounts | None:
    """What is lacking, and more where there is plenty; `None` where even that is not there."""
    free = [m - row[f"used_{u}"] - row[f"held_{u}"] for u, m in zip(UNITS, need.most, strict=True)]
    if any(lack > left for lack, left in zip(need.lacking, free, strict=True)):
        return None
    if need.place.window == NOW and not alone:
        return need.lacking
    bounded = [
        min(_FAR_AHEAD if alone else _AHEAD, (left - lack) // _PART // one)
        for lack, left, one, most in zip(need.lacking, free, need.asked, need.most, strict=True)
        if one and most < UNBOUNDED
    ]
    ahead = max(0, min(bounded, default=0))
    requests, tokens, tokens_out, usd = (ahead * amount for amount in need.asked)
    return plus(need.lacking, (requests, tokens, tokens_out, usd))


def _begin(connection: Connection, place: Place) -> None:
    values = {"key_id": place.key_id, "window": place.window, "start": place.start}
    try:
        with connection.begin_nested():
            connection.execute(insert(COUNTERS).values(**values))
    except IntegrityError:
        pass  # another process was first


def _begin_own(connection: Connection, process: str, place: Place, amounts: Amounts) -> None:
    values = {"key_id": place.key_id, "window": place.window, "start": place.start}
    held = dict(zip(UNITS, amounts, strict=True))
    connection.execute(insert(HOLDS).values(process=process, **values, **held))


def _at(place: Place) -> dict[str, Any]:
    return {"of_key": place.key_id, "of_window": place.window, "of_start": place.start}


def _named(prefix: str, amounts: Amounts) -> dict[str, int]:
    return {f"{prefix}_{unit}": amount for unit, amount in zip(UNITS, amounts, strict=True)}


def _denial(need: Need, row: RowMapping, now: float) -> Denial:
    place = need.place
    for unit, limit, lack, more in zip(UNITS, need.most, need.lacking, need.asked, strict=True):
        used, held = row[f"used_{unit}"], row[f"held_{unit}"]
        if used + held + lack <= limit:
            continue
        if place.window == NOW:
            said = f"{held} requests of this key are in flight or about to be, and {limit} may be"
            return Denial(said, _SOON_S, place)
        u, h, m, at_most = (of_unit(unit, amount) for amount in (used, held, more, limit))
        each = "in all" if place.window == "total" else f"a {place.window}"
        said = (
            f"the key may use {at_most:,.12g} {unit} {each}; {u:,.12g} are used, {h:,.12g} held for "
            f"requests in flight, and this one may take {m:,.12g}"
        )
        if more > limit:
            return Denial(said, None, place)
        end = end_of(place.window, now)
        wait = None if end is None else max(0.0, end - now)
        if used + more <= limit:  # what is in flight may leave enough
            return Denial(said, _SOON_S if wait is None else min(_SOON_S, wait), place)
        return Denial(said, wait, place)
    return Denial("the quota of the key was taken by others at this moment", _SOON_S, place)
