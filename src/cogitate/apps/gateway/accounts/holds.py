"""Two-phase counting in the database: hold what a request may cost, then count what it did cost.

Whether it fits is part of the statement that holds it, so no two requests can both take what is left for
one: not from two threads, nor from two processes. A request counts in the windows it was admitted in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from .quotas import NOW, UNITS, Amounts, end_of, of_unit, start_of
from .tables import COUNTERS, HOLDS, PROCESSES

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, RowMapping

_SOON_S: Final = 1.0
"""When to ask again, where only what is in flight stands in the way."""

_COUNTER = (
    (COUNTERS.c.key_id == bindparam("of_key"))
    & (COUNTERS.c.window == bindparam("of_window"))
    & (COUNTERS.c.start == bindparam("of_start"))
)
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
_SETTLE = (
    update(COUNTERS)
    .where(_COUNTER)
    .values(
        {f"held_{u}": COUNTERS.c[f"held_{u}"] - bindparam(f"held_{u}") for u in UNITS}
        | {f"used_{u}": COUNTERS.c[f"used_{u}"] + bindparam(f"spent_{u}") for u in UNITS}
    )
)
_FIND = select(COUNTERS).where(_COUNTER)
_DROP = delete(HOLDS).where(HOLDS.c.id == bindparam("of_hold"))
_INSERT = insert(HOLDS)


@dataclass(frozen=True, slots=True)
class Hold:
    """What a request holds of its key's quotas."""

    id: str
    key_id: str
    places: tuple[tuple[str, int], ...]
    """Window and start of every counter it is held on."""
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a request does not fit."""

    reason: str
    retry_after_s: float | None


def hold(
    connection: Connection,
    key_id: str,
    limits: Sequence[tuple[str, Amounts]],
    amounts: Amounts,
    *,
    id: str,
    process: str,
    now: float,
) -> Hold | Denial:
    """Hold these amounts on every window of the key, or on none."""
    places: list[tuple[str, int]] = []
    for window, most in limits:
        start = start_of(window, now)
        at = _at(key_id, window, start)
        asked = at | _named("more", amounts) | _named("most", most)
        if not _held(connection, asked, at):
            found = connection.execute(_FIND, at).mappings().one()
            _settle(connection, key_id, places, amounts, None)
            return _denial(window, most, amounts, found, now)
        places.append((window, start))
    rows = [
        {"id": id, "window": window, "start": start, "key_id": key_id, "process": process}
        | dict(zip(UNITS, amounts, strict=True))
        for window, start in places
    ]
    connection.execute(_INSERT, rows)
    return Hold(id, key_id, tuple(places), amounts)


def settle(connection: Connection, held: Hold, spent: Amounts | None) -> None:
    """Give a hold back and count what was spent; `None`: nothing, the request did not happen."""
    if connection.execute(_DROP, {"of_hold": held.id}).rowcount:
        _settle(connection, held.key_id, held.places, held.amounts, spent)
    elif spent is not None:  # given back already, because this process was taken for dead
        _settle(connection, held.key_id, held.places, (0, 0, 0, 0), spent)


def beat(connection: Connection, process: str, alive_until: float) -> None:
    """Say that a process lives, so that nobody gives its holds back."""
    known = update(PROCESSES).where(PROCESSES.c.id == process).values(alive_until=alive_until)
    if not connection.execute(known).rowcount:
        connection.execute(insert(PROCESSES).values(id=process, alive_until=alive_until))


def leave(connection: Connection, process: str) -> int:
    """Give back everything that a process holds, and forget it; returns how many requests held it."""
    requests: set[str] = set()
    gone = delete(HOLDS).where(HOLDS.c.process == process).returning(*HOLDS.c)
    for row in connection.execute(gone).mappings().all():
        requests.add(row["id"])
        amounts: Amounts = (row["requests"], row["tokens"], row["tokens_out"], row["usd"])
        _settle(connection, row["key_id"], [(row["window"], row["start"])], amounts, None)
    connection.execute(delete(PROCESSES).where(PROCESSES.c.id == process))
    return len(requests)


def reclaim(connection: Connection, now: float) -> int:
    """Give back what processes hold that have not lived for a while; returns how many requests did."""
    dead = connection.scalars(select(PROCESSES.c.id).where(PROCESSES.c.alive_until < now)).all()
    orphans = (
        select(HOLDS.c.process).where(HOLDS.c.process.not_in(select(PROCESSES.c.id))).distinct()
    )
    return sum(leave(connection, process) for process in {*dead, *connection.scalars(orphans)})


def forget(connection: Connection, before: float) -> None:
    """Drop the counters of windows that ended long ago; those of whole lives stay."""
    connection.execute(
        delete(COUNTERS).where(
            COUNTERS.c.start > 0, COUNTERS.c.start < int(before), COUNTERS.c.held_requests == 0
        )
    )


def standing(connection: Connection, key_id: str, now: float) -> dict[str, dict[str, Any]]:
    """What a key has used and holds, by window that runs now and by unit."""
    rows = connection.execute(select(COUNTERS).where(COUNTERS.c.key_id == key_id)).mappings()
    return {
        row["window"]: {
            state: {u: of_unit(u, row[f"{state}_{u}"]) for u in UNITS} for state in ("used", "held")
        }
        for row in rows
        if row["start"] == start_of(row["window"], now)
    }


def held_in_all(connection: Connection) -> int:
    """The sum of everything held, in whatever units: zero when nothing is in flight."""
    columns = sum((COUNTERS.c[f"held_{unit}"] for unit in UNITS[1:]), COUNTERS.c.held_requests)
    return int(connection.scalar(select(func.coalesce(func.sum(columns), 0))) or 0)


def _held(connection: Connection, asked: dict[str, Any], at: dict[str, Any]) -> bool:
    if connection.execute(_HOLD, asked).rowcount:
        return True
    if connection.execute(_FIND, at).first() is not None:
        return False
    try:
        with connection.begin_nested():
            named = {"key_id": at["of_key"], "window": at["of_window"], "start": at["of_start"]}
            connection.execute(insert(COUNTERS).values(**named))
    except IntegrityError:
        pass  # another process was first
    return bool(connection.execute(_HOLD, asked).rowcount)


def _settle(
    connection: Connection,
    key_id: str,
    places: Sequence[tuple[str, int]],
    held: Amounts,
    spent: Amounts | None,
) -> None:
    for window, start in places:
        counts = (0, 0, 0, 0) if spent is None or window == NOW else spent
        named = _named("held", held) | _named("spent", counts)
        connection.execute(_SETTLE, _at(key_id, window, start) | named)


def _at(key_id: str, window: str, start: int) -> dict[str, Any]:
    return {"of_key": key_id, "of_window": window, "of_start": start}


def _named(prefix: str, amounts: Amounts) -> dict[str, int]:
    return {f"{prefix}_{unit}": amount for unit, amount in zip(UNITS, amounts, strict=True)}


def _denial(window: str, most: Amounts, asked: Amounts, found: RowMapping, now: float) -> Denial:
    for unit, limit, more in zip(UNITS, most, asked, strict=True):
        used, held = found[f"used_{unit}"], found[f"held_{unit}"]
        if used + held + more <= limit:
            continue
        if window == NOW:
            return Denial(f"{held} requests of this key are in flight and {limit} may be", _SOON_S)
        u, h, m, at_most = (of_unit(unit, amount) for amount in (used, held, more, limit))
        each = "in all" if window == "total" else f"a {window}"
        said = (
            f"the key may use {at_most:,.12g} {unit} {each}; {u:,.12g} are used, {h:,.12g} held by "
            f"requests in flight, and this one may take {m:,.12g}"
        )
        if more > limit:
            return Denial(said, None)
        if used + more <= limit:
            return Denial(said, _SOON_S)
        end = end_of(window, now)
        return Denial(said, None if end is None else end - now)
    return Denial("the quota of the key changed at this moment", _SOON_S)
