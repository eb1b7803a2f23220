"""The audit: one record a request, written in batches; what they add up to; prompts, where asked for."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, select

from cogitate.core.errors import InvalidInput
from cogitate.core.usage import ZERO, Usage

from .record import Record
from .tables import KEYS, PROMPTS, REQUESTS

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

DAY_S: Final = 86_400
GROUPS: Final = ("key", "day", "model", "strategy", "status")
"""What usage may be summed by."""

_LONGEST: Final = 300
_SUMS: Final = (
    *("requests", "tokens_in", "tokens_cached", "tokens_out", "tokens_reasoning"),
    *("calls", "seconds"),
)
_COLUMNS: Final = {
    "key": REQUESTS.c.key_id,
    "day": REQUESTS.c.day,
    "model": REQUESTS.c.model,
    "strategy": REQUESTS.c.strategy,
    "status": REQUESTS.c.status,
}


@dataclass(frozen=True)
class Sum:
    """What requests of one group add up to."""

    by: tuple[tuple[str, str], ...]
    """What they have in common, such as `(("key", "ann"), ("day", "2026-11-24"))`."""
    requests: int
    usage: Usage
    """Its `usd` is `None` where nobody knows what some of them cost."""
    usd_known: float
    """The money that is known."""
    usd_unknown: int
    """Requests whose money nobody knows."""
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """For machines; money is null where some of it is unknown."""
        known = self.usage
        return {
            **dict(self.by),
            "requests": self.requests,
            "tokens_in": known.tokens_in,
            "tokens_cached": known.tokens_cached,
            "tokens_out": known.tokens_out,
            "tokens_reasoning": known.tokens_reasoning,
            "calls": known.calls,
            "usd": known.usd,
            "usd_known": self.usd_known,
            "usd_unknown": self.usd_unknown,
            "estimated": known.estimated,
            "seconds": self.seconds,
        }


def keep(connection: Connection, records: Sequence[Record]) -> None:
    """Write a batch. Those of one key that were refused alike share a row: refusing is cheap, disks are not."""
    rows: list[dict[str, Any]] = []
    refused: dict[tuple[str, int], dict[str, Any]] = {}
    for record in records:
        alike = refused.get((record.key_id, record.status))
        if alike is not None and _is_refusal(record):
            alike["requests"] += 1
            continue
        row = _row(record)
        rows.append(row)
        if _is_refusal(record):
            refused[record.key_id, record.status] = row
    connection.execute(insert(REQUESTS), rows)
    prompts = [
        {"request": _storable(r.id)[:64], "at": r.at, "body": r.prompt}
        for r in records
        if r.prompt is not None
    ]
    if prompts:
        connection.execute(insert(PROMPTS), prompts)


def purge(connection: Connection, before: float) -> int:
    """Drop the prompts kept before a time; returns how many there were."""
    return int(connection.execute(delete(PROMPTS).where(PROMPTS.c.at < before)).rowcount)


def prompt_of(connection: Connection, request: str) -> Any:
    """What was asked in a request, or `None` where it was not kept."""
    found = connection.scalar(select(PROMPTS.c.body).where(PROMPTS.c.request == request))
    return None if found is None else json.loads(found)


def newest(
    connection: Connection, most: int, *, key_id: str | None = None, request: str | None = None
) -> list[dict[str, Any]]:
    """The newest records, the last first, with the name of the key."""
    asked = select(REQUESTS).order_by(REQUESTS.c.number.desc()).limit(most)
    if key_id is not None:
        asked = asked.where(REQUESTS.c.key_id == key_id)
    if request is not None:
        asked = asked.where(REQUESTS.c.id == request)
    names = _names(connection)
    return [
        {
            **{str(name): value for name, value in row.items() if name not in ("number", "day")},
            "key": _said("key", row["key_id"], names),
        }
        for row in connection.execute(asked).mappings()
    ]


def sums(
    connection: Connection,
    by: Sequence[str] = (),
    *,
    since: float | None = None,
    until: float | None = None,
    key_id: str | None = None,
) -> list[Sum]:
    """What was used, by the named groups; one sum of all without any.

    Raises:
        InvalidInput: for a group that does not exist.
    """
    for name in by:
        if name not in _COLUMNS:
            raise InvalidInput(
                f"usage by {name!r} was asked for; it is summed by {', '.join(GROUPS)}"
            )
    columns = [_COLUMNS[name].label(f"by_{name}") for name in by]
    asked = select(
        *columns,
        *(func.coalesce(func.sum(REQUESTS.c[name]), 0).label(name) for name in _SUMS),
        func.coalesce(func.sum(REQUESTS.c.usd), 0.0).label("usd"),
        (func.count() - func.count(REQUESTS.c.usd)).label("unknown"),
        func.count().filter(REQUESTS.c.estimated).label("estimated"),
    ).group_by(*(_COLUMNS[name] for name in by))
    if since is not None:
        asked = asked.where(REQUESTS.c.at >= since)
    if until is not None:
        asked = asked.where(REQUESTS.c.at < until)
    if key_id is not None:
        asked = asked.where(REQUESTS.c.key_id == key_id)
    names = _names(connection) if "key" in by else {}
    found = connection.execute(asked.order_by(*(_COLUMNS[name] for name in by))).mappings()
    return [_sum(row, by, names) for row in found]


def _sum(row: Any, by: Sequence[str], names: dict[str, str]) -> Sum:
    unknown = int(row["unknown"])
    usage = Usage(
        tokens_in=int(row["tokens_in"]),
        tokens_cached=int(row["tokens_cached"]),
        tokens_out=int(row["tokens_out"]),
        tokens_reasoning=int(row["tokens_reasoning"]),
        calls=int(row["calls"]),
        seconds=float(row["seconds"]),
        usd=None if unknown else float(row["usd"]),
        estimated=bool(row["estimated"]),
    )
    groups = tuple((name, _said(name, row[f"by_{name}"], names)) for name in by)
    return Sum(
        groups, int(row["requests"]), usage, float(row["usd"]), unknown, float(row["seconds"])
    )


def _said(group: str, value: Any, names: dict[str, str]) -> str:
    if group == "day":
        import datetime

        return str(datetime.date(1970, 1, 1) + datetime.timedelta(days=int(value)))
    if group == "key":
        return names.get(str(value), str(value)) if value else "anyone"
    return str(value)


def _names(connection: Connection) -> dict[str, str]:
    """What to call each key: its name where it is the only one of that name, its name and id elsewhere."""
    found = [
        (str(id), str(name)) for id, name in connection.execute(select(KEYS.c.id, KEYS.c.name))
    ]
    often = [name for _, name in found]
    return {
        public: name if often.count(name) == 1 else f"{name} ({public})" for public, name in found
    }


def _is_refusal(record: Record) -> bool:
    return record.usage == ZERO and record.status in (403, 429, 503) and record.prompt is None


def _row(record: Record) -> dict[str, Any]:
    usage = record.usage
    return {
        "id": _storable(record.id)[:64],
        "at": record.at,
        "day": int(record.at // DAY_S),
        "key_id": record.key_id,
        "model": _storable(record.model)[:_LONGEST],
        "strategy": _storable(record.strategy)[:_LONGEST],
        "status": record.status,
        "requests": 1,
        "tokens_in": usage.tokens_in,
        "tokens_cached": usage.tokens_cached,
        "tokens_out": usage.tokens_out,
        "tokens_reasoning": usage.tokens_reasoning,
        "calls": usage.calls,
        "usd": usage.usd if usage.usd is not None and math.isfinite(usage.usd) else None,
        "estimated": usage.estimated,
        "seconds": record.seconds,
    }


def _storable(text: str) -> str:
    """Without what databases refuse: clients choose names of models, and half a surrogate is valid JSON."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
