"""The journal's format: what the world decided, in the order in which it was told.

A record is a JSON object:

| field | meaning |
| --- | --- |
| `kind` | `reply`, `denied`, `failed`, `remaining`, `late`, `note`, `cut`, `sealed` |
| `at` | address of the request: path of its flow in the tree, `#`, a counter |
| `ask` | the request's type, or the kind of the note |
| `key` | digest of the request |
| `value` | the encoded reply, refusal, failure or note |
| `blob` | in its place: the digest of a large value in the blob store |
| `usage` | what it cost; absent where it cost nothing |
| `role` | whose account paid |
| `engine`, `seed`, `index`, `trimmed` | how it was served, where that differs from what was asked |
| `cached` | true where the reply came from a cache: its usage is charged, and was paid for before |

The order of a stream's records is the order of arrival: a machine that is told the same things in
the same order does the same things, so arrival order needs no records of its own. `late` records
carry usage only: the reply came after its flow was cancelled. `cut` says that of the records so far
only the first `keep` tells and the first `notes` notes stand; the other replies are cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import fields
from typing import Any, Protocol

from .codec import decode
from .errors import Failed, OutOfBudget
from .flow import Remaining, SetAside
from .requests import Reply, Request
from .usage import ZERO, Usage

Record = dict[str, Any]

TELLS = frozenset({"reply", "denied", "failed", "remaining"})
"""The kinds that answer a waiting flow."""
PAID = TELLS | {"late"}
"""The kinds whose usage was spent by the run that stands; `cached` ones are charged when used."""


class Journal(Protocol):
    """Where a machine reads what an earlier run was told and writes what this one is told."""

    def recorded(self, stream: str) -> Sequence[Record]:
        """The records of an earlier run that still stand, in order."""
        ...

    def sealed(self, stream: str) -> Record | None:
        """The `sealed` record of a finished stream: its `value` and `roles` (usage by role)."""
        ...

    def append(self, stream: str, record: Record, request: Request[Any] | None = None) -> None:
        """Add a record; the request's body is stored once a stream."""
        ...

    def seal(self, stream: str, value: Any) -> None:
        """Mark a stream as finished with this encoded result."""
        ...

    def timing(self, stream: str, at: str, seconds: float, elapsed: float) -> None:
        """Note how long a call took; kept apart, so that journals can be compared."""
        ...

    def flush(self) -> None:
        """Make what was appended survive the death of the process."""
        ...


class Tape:
    """A journal in memory.

    >>> Tape().recorded("")
    []
    """

    def __init__(self, records: Sequence[tuple[str, Record]] = ()) -> None:
        """Start from `(stream, record)` pairs of an earlier run."""
        self.records: list[tuple[str, Record]] = list(records)
        self._earlier: dict[str, list[Record]] = {}
        for stream, record in self.records:
            self._earlier.setdefault(stream, []).append(record)

    def recorded(self, stream: str) -> Sequence[Record]:
        return [r for r in standing(self._earlier.get(stream, ())) if r["kind"] != "sealed"]

    def sealed(self, stream: str) -> Record | None:
        return sealed_in(self._earlier.get(stream, ()))

    def append(self, stream: str, record: Record, request: Request[Any] | None = None) -> None:
        self.records.append((stream, record))

    def seal(self, stream: str, value: Any) -> None:
        spent = standing([r for s, r in self.records if s == stream])
        self.records.append((stream, seal_record(value, spent)))

    def timing(self, stream: str, at: str, seconds: float, elapsed: float) -> None:
        pass

    def flush(self) -> None:
        pass


def usage_by_role(records: Iterable[Record]) -> dict[str, Usage]:
    """The usage of records that were paid for, summed by role."""
    roles: dict[str, Usage] = {}
    for record in records:
        if "usage" in record and record["kind"] in PAID:
            role = record.get("role", "")
            roles[role] = roles.get(role, ZERO) + usage_of(record)
    return roles


def spent_of(records: Iterable[Record]) -> Usage:
    """The usage that was really paid for: without what came from a cache."""
    return sum(usage_by_role(r for r in records if not r.get("cached")).values(), ZERO)


def seal_record(value: Any, records: Iterable[Record]) -> Record:
    """The seal of a finished stream: its encoded result, and what its standing records cost.

    `spent` is there where some of that came from a cache.
    """
    held = list(records)
    roles = {role: usage_body(usage) for role, usage in usage_by_role(held).items()}
    seal: Record = {"kind": "sealed", "value": value, "roles": roles}
    if any(record.get("cached") for record in held):
        seal["spent"] = usage_body(spent_of(held))
    return seal


def sealed_in(records: Iterable[Record]) -> Record | None:
    """The seal among a stream's records, with the cost of what came late after it."""
    seal: Record | None = None
    roles: dict[str, Usage] = {}
    spent: Usage | None = None
    for record in records:
        if record["kind"] == "sealed":
            seal = record
            roles = {role: usage_of({"usage": usage}) for role, usage in seal["roles"].items()}
            spent = usage_of({"usage": seal["spent"]}) if "spent" in seal else None
        elif seal is not None:
            for role, usage in usage_by_role([record]).items():
                roles[role] = roles.get(role, ZERO) + usage
                spent = None if spent is None else spent + usage
    if seal is None:
        return None
    found = {**seal, "roles": {role: usage_body(usage) for role, usage in roles.items()}}
    return found if spent is None else {**found, "spent": usage_body(spent)}


def is_bound(record: Record) -> bool:
    """Whether a recorded answer depends on the grant, so that it may not stand under a larger one."""
    if record["kind"] in ("denied", "remaining") or record["ask"] == SetAside.__name__:
        return True
    return "trimmed" in record and record["value"].get("finish") == "limit"


def standing(records: Iterable[Record]) -> list[Record]:
    """The records that stand after every `cut`; superseded tells become `cached`, charged when used."""
    out: list[Record] = []
    for record in records:
        if record["kind"] == "cut":
            out = _cut(out, record["keep"], record["notes"])
        else:
            out.append(record)
    return out


def _cut(records: list[Record], keep: int, notes: int) -> list[Record]:
    out: list[Record] = []
    for record in records:
        kind = record["kind"]
        if kind == "note":
            notes -= 1
            if notes < 0:
                continue
        elif kind in TELLS:
            keep -= 1
            if keep < 0:
                record = {**record, "kind": "cached", "was": kind}
        out.append(record)
    return out


def tell_record(
    request: Request[Any], at: str, outcome: Reply[Any] | OutOfBudget | Failed
) -> Record:
    """The record of one answer."""
    record: Record = {
        "kind": "reply",
        "at": at,
        "ask": type(request).__name__,
        "key": request.key(),
    }
    if isinstance(outcome, Reply):
        if isinstance(request, Remaining):
            record["kind"] = "remaining"
        record["value"] = request.encode(outcome.value)
        if outcome.usage is not ZERO:
            record["usage"] = usage_body(outcome.usage)
            record["role"] = request.role
        for name in ("engine", "seed", "index", "trimmed"):
            if (held := getattr(outcome, name)) not in (None, ""):
                record[name] = held
        if outcome.cached:
            record["cached"] = True
    elif isinstance(outcome, OutOfBudget):
        record["kind"] = "denied"
        # JSON has no NaN: an amount that nobody knows is null.
        asked = None if outcome.asked != outcome.asked else outcome.asked
        record["value"] = [outcome.unit, asked, outcome.left, outcome.account]
    else:
        record["kind"] = "failed"
        record["value"] = [outcome.reason, outcome.kind]
        if outcome.usage is not None:
            record["usage"] = usage_body(outcome.usage)
            record["role"] = request.role
    return record


def outcome_of(record: Record, request: Request[Any]) -> Reply[Any] | OutOfBudget | Failed:
    """The inverse of `tell_record`."""
    kind = record.get("was", record["kind"])
    if kind == "denied":
        unit, asked, left, account = record["value"]
        return OutOfBudget(unit, math.nan if asked is None else asked, left, account)
    if kind == "failed":
        return Failed(*record["value"], usage=usage_of(record) if "usage" in record else None)
    return Reply(
        request.decode(record["value"]),
        usage_of(record) if "usage" in record else ZERO,
        engine=record.get("engine", ""),
        seed=record.get("seed"),
        index=record.get("index"),
        trimmed=record.get("trimmed"),
        cached=bool(record.get("cached")),
    )


_USAGE = tuple((f.name, f.default) for f in fields(Usage) if f.name != "seconds")


def usage_body(usage: Usage) -> dict[str, Any]:
    """The units that are not zero; seconds are kept apart, so that journals can be compared."""
    return {
        n: held for n, default in _USAGE if (held := getattr(usage, n)) is None or held != default
    }


def usage_of(record: Record) -> Usage:
    """The usage of a record."""
    return decode(Usage, record["usage"])
