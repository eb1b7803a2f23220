"""What a journal holds, read without the code that wrote it, once and without keeping it.

A journal may come from anybody: nothing of it is trusted to be what it should be.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

from cogitate.apps.render import Grove, one_line
from cogitate.core.codec import decode
from cogitate.core.errors import CogitateError, InvalidInput
from cogitate.core.journal import PAID, standing
from cogitate.core.usage import UNITS, ZERO, Budget, Usage
from cogitate.drive import FileJournal

_TIMED: Final = 200_000
"""Calls whose seconds are told by role; of longer runs only their sum is."""
_CUTS: Final = 100
_COUNTED: Final = frozenset({"reply", "denied", "failed", "late"})
_WHOLE: Final = ("tokens_in", "tokens_cached", "tokens_out", "tokens_reasoning", "calls")
_PARTS: Final = ("seconds", "flops", "bytes_moved", "usd")


@dataclass(frozen=True)
class Solved:
    """One task of a run over many."""

    stream: str
    question: str
    sealed: bool
    answer: str | None = None
    score: float | None = None
    stopped: str = ""
    candidates: int = 0

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "task": self.stream,
            "question": self.question,
            "finished": self.sealed,
            "answer": self.answer,
            "score": self.score,
            "stopped": self.stopped,
            "candidates": self.candidates,
        }


@dataclass(frozen=True)
class Summary:
    """One stream of a journal, or the sums of all."""

    header: Mapping[str, Any]
    stream: str
    grove: Grove
    roles: Mapping[str, Usage]
    paid: Usage
    """What of it was paid for; the rest was kept from earlier runs."""
    kept: int
    """Replies that were kept."""
    outcomes: Mapping[str, int]
    """How many replies, refusals and failures."""
    cuts: Mapping[tuple[str, str], tuple[int, str]]
    """By `budget` or `failed` and the unit or kind: how many, and the first in words."""
    elapsed_s: float
    streams: Sequence[str]

    @property
    def total(self) -> Usage:
        """Everything that was charged."""
        return sum(self.roles.values(), ZERO)

    @property
    def budget(self) -> Budget | None:
        """The grant; `None` where there is none, or none that can be read."""
        held = self.header.get("budget")
        if not isinstance(held, Mapping):
            return None
        try:
            return decode(
                Budget, {n: v for n, v in cast("Mapping[str, Any]", held).items() if n in UNITS}
            )
        except (CogitateError, TypeError, ValueError):
            return None

    @property
    def _bounds(self) -> str:
        held = self.budget.bounds() if self.budget is not None else []
        return ", ".join(f"{amount:,.10g} {unit.replace('_', ' ')}" for unit, amount in held)

    @property
    def heading(self) -> str:
        """The run card in a few lines."""
        models = self.header.get("models")
        held: Mapping[str, Any] = (
            cast(Mapping[str, Any], models) if isinstance(models, Mapping) else {}
        )
        counted = ", ".join(f"{n:,} {kind}" for kind, n in sorted(self.outcomes.items()))
        many = bool(self.streams) and not self.stream
        asked = f"{len(self.streams):,} tasks" if many else question_of(self.header, self.stream)
        rows = {
            "question": asked,
            "strategy": self.header.get("strategy") or "",
            "model": ", ".join(f"{role}={spec}" for role, spec in held.items()),
            "seed": self.header.get("seed"),
            "budget": self._bounds or "unbounded",
            "records": counted or "none yet",
        }
        lines = [f"{name:<10}{one_line(str(value), 300)}" for name, value in rows.items()]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """For machines; without the nodes."""
        return {
            "header": finite(dict(self.header)),
            "question": question_of(self.header, self.stream),
            "decisions": [
                {"place": d.place, "kind": d.kind, "data": finite(dict(d.data))}
                for d in self.grove.decisions
            ],
            "losses": [
                {"cause": cause, "count": count, "reason": why}
                for cause, (count, why) in self.grove.losses.items()
            ],
            "cuts": [
                {"by": by, "what": what, "count": count, "reason": why}
                for (by, what), (count, why) in self.cuts.items()
            ],
            "roles": {role: finite(usage.as_dict()) for role, usage in self.roles.items()},
            "usage": finite(self.total.as_dict()),
            "paid": finite(self.paid.as_dict()),
            "kept": self.kept,
            "elapsed_s": self.elapsed_s if math.isfinite(self.elapsed_s) else None,
            "outcomes": dict(self.outcomes),
            "streams": list(self.streams),
        }


def nodes_json(grove: Grove, most: int | None) -> dict[str, Any]:
    """The nodes for machines, all or those worth showing, and how many are left out."""
    from cogitate.drive.thinning import worth_showing

    nodes = list(grove.every()) if most is None else worth_showing(grove, most)
    return {
        "nodes": [
            {
                "id": n.id,
                "parent": n.parent or None,
                "search": n.place[1],
                "state": n.state,
                "value": n.value,
                "mean": n.mean,
                "visits": n.visits or None,
                "cause": n.cause or None,
                "reason": n.reason or None,
                "text": n.text,
            }
            for n in sorted(nodes, key=lambda n: n.order)
        ],
        "left_out": grove.nodes - len(nodes),
    }


def finite(value: Any) -> Any:
    """The value with what JSON does not know as null."""
    return json.loads(json.dumps(value), parse_constant=lambda _: None)


def question_of(header: Mapping[str, Any], stream: str) -> str:
    """The last message of a recorded task, whatever was recorded."""
    try:
        task = header["tasks"][int(stream)] if stream else header["task"]
        return str(task["messages"][-1]["content"])
    except (KeyError, IndexError, TypeError, ValueError):
        return ""


@dataclass
class _Counts:
    """What is summed while a journal is read. Mutable: it counts."""

    outcomes: Counter[str] = field(default_factory=Counter[str])
    charged: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    paid: dict[str, Any] = field(default_factory=dict[str, Any])
    kept: int = 0
    cuts: dict[tuple[str, str], tuple[int, str]] = field(
        default_factory=dict[tuple[str, str], tuple[int, str]]
    )
    payers: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])

    def take(self, stream: str, record: Mapping[str, Any]) -> None:
        kind = record["kind"]
        if kind in _COUNTED:
            self.outcomes[kind] += 1
        if kind in ("denied", "failed"):
            self._cut(kind, record.get("value"))
        used = record.get("usage")
        if kind not in PAID or not isinstance(used, Mapping):
            return
        role = str(record.get("role", ""))
        _add(self.charged.setdefault(role, {}), cast("Mapping[str, Any]", used))
        if record.get("cached"):
            self.kept += 1
        else:
            _add(self.paid, cast("Mapping[str, Any]", used))
        if len(self.payers) < _TIMED:
            self.payers[stream, str(record.get("at", ""))] = role

    def _cut(self, kind: str, value: Any) -> None:
        held = cast("list[Any]", value) if isinstance(value, list) else []
        if kind == "denied":
            unit = str(held[0]) if held else ""
            key, why = ("budget", unit), _refusal(unit, held)
        else:
            reason, what = (*(str(v)[:400] for v in held[:2]), "", "")[:2]
            key, why = ("failed", what), reason
        count, first = self.cuts.get(key, (0, why))
        if count or len(self.cuts) < _CUTS:
            self.cuts[key] = (count + 1, first)


def _refusal(unit: str, held: Sequence[Any]) -> str:
    name = unit.replace("_", " ")
    if len(held) < 3 or not all(isinstance(v, int | float) for v in held[1:3]):
        return f"the {name} were spent"
    return f"the first asked for {held[1]:,.6g} {name}, and {held[2]:,.6g} were left"


def _add(sums: dict[str, Any], used: Mapping[str, Any]) -> None:
    for name in (*_WHOLE, *_PARTS):
        value = used.get(name, 0)
        if value is None:
            sums[name] = None
        elif isinstance(value, int | float) and value and sums.get(name, 0) is not None:
            sums[name] = sums.get(name, 0) + value
    if used.get("estimated") is True:
        sums["estimated"] = True


def _usage(sums: Mapping[str, Any]) -> Usage:
    whole = {name: int(v) for name in _WHOLE if isinstance(v := sums.get(name, 0), int)}
    parts = {name: sums.get(name, 0.0) for name in _PARTS if name != "seconds"}
    seconds = sums.get("seconds") or 0.0
    return Usage(**whole, **parts, seconds=seconds, estimated=bool(sums.get("estimated")))


def summary(
    book: FileJournal,
    stream: str = "",
    *,
    longest: int = 4000,
    grove: Grove | None = None,
    hear: Callable[[Mapping[str, Any]], None] | None = None,
) -> Summary:
    """Read one stream; of a journal of many tasks without one the sums of all.

    Args:
        book: the journal.
        stream: which of its tasks.
        longest: characters kept of a node's text.
        grove: where the trees grow; a new one with texts of `longest` where there is none.
        hear: hears every record of the stream that stands, in order.

    Raises:
        InvalidInput: when the journal has no such stream.
    """
    streams = [name for name in book.streams() if name]
    if stream and stream not in streams:
        raise InvalidInput(
            f"the stream {stream!r} was asked for, but {book.path} holds "
            f"{', '.join(streams[:8]) or 'only one problem'}"
        )
    grove, counts = Grove(longest=longest) if grove is None else grove, _Counts()
    for name in [stream] if stream else book.streams():
        shown = name == stream
        for record in _standing(book, name):
            counts.take(name, record)
            if not shown:
                continue
            if record["kind"] in ("note", "reply"):
                grove.add(record)
            if hear is not None:
                hear(record)
    roles = {role: _usage(sums) for role, sums in counts.charged.items()}
    return Summary(
        book.header, stream, grove, _timed(book, stream, roles, counts.payers), _usage(counts.paid),
        counts.kept, counts.outcomes, counts.cuts, book.elapsed_s, streams,
    )  # fmt: skip


def _standing(book: FileJournal, stream: str) -> Iterator[Mapping[str, Any]]:
    """The records that stand; held in memory only where a run was cut and went on otherwise."""
    if book.holds(stream, "cut"):
        return iter(standing(book.lines(stream)))
    return book.lines(stream)


def _timed(
    book: FileJournal,
    stream: str,
    roles: Mapping[str, Usage],
    payers: Mapping[tuple[str, str], str],
) -> dict[str, Usage]:
    """The usage with its seconds, which lie beside the journal."""
    path = book.path.with_name(book.path.name + ".times")
    if not path.exists() or len(payers) >= _TIMED:
        return dict(roles)
    seconds: Counter[str] = Counter()
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
                role = payers.get((row["s"], row["at"]))
                took = float(row["seconds"])
            except (ValueError, TypeError, KeyError):
                continue  # a torn last line; timing is not evidence
            if role is not None and math.isfinite(took):
                seconds[role] += took  # pyright: ignore[reportArgumentType]
    return {role: replace(used, seconds=seconds.get(role, 0.0)) for role, used in roles.items()}


def solved(book: FileJournal, streams: Sequence[str]) -> Iterator[Solved]:
    """How these tasks ended."""
    for name in streams:
        asked, seal = question_of(book.header, name), book.sealed(name)
        value = seal.get("value") if seal is not None else None
        if not isinstance(value, Mapping):
            yield Solved(name, asked, seal is not None)
            continue
        ranking = cast("Mapping[str, Any]", value)
        items = ranking.get("items")
        found = cast("list[Any]", items) if isinstance(items, list) else []
        answer, score = _best(found)
        yield Solved(name, asked, True, answer, score, str(ranking.get("stopped", "")), len(found))


def _best(items: Sequence[Any]) -> tuple[str | None, float | None]:
    try:
        best = items[0]
        answer, score = best["state"].get("answer"), best["score"].get("value")
    except (AttributeError, IndexError, KeyError, TypeError):
        return None, None
    known = isinstance(score, int | float) and math.isfinite(score)
    return (None if answer is None else str(answer)), (float(score) if known else None)
