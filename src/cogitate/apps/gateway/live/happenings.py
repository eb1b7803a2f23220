"""The log of a request: what happened, in lines; what repeats is one line with a count."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.events import Answered, Event, Finished, Noted
from cogitate.drive.notes import DECISIONS, Decision

LONGEST: Final = 300
"""Characters of a line."""
_LARGEST: Final = 1e300
_MERGED: Final = frozenset({"expanded", "scored", "backed_up", "tree", "settled"})
"""Notes that come for every node; in a row they are one line."""


@dataclass(slots=True)
class Line:
    """One line. Mutable: what repeats is counted."""

    number: int
    version: int
    """When it was last changed."""
    at_s: float | None
    kind: str
    text: str
    count: int = 1

    def to_json(self) -> list[Any]:
        """For the page."""
        return [self.number, self.at_s, self.kind, self.text, self.count]


class Log:
    """The last lines, and how many there were. Mutable: it listens."""

    def __init__(self, most: int) -> None:
        """Keep at most so many lines."""
        self.lines: deque[Line] = deque(maxlen=most)
        self.said = 0
        """Lines that ever were."""

    def add(self, kind: str, text: str, version: int, at_s: float | None, count: int = 1) -> None:
        """One more line, or one more of the last kind."""
        last = self.lines[-1] if self.lines else None
        text = text[:LONGEST]
        if last is not None and last.kind == kind and (kind in _MERGED or last.text == text):
            last.text, last.version, last.at_s = text, version, at_s
            last.count += count
            return
        self.lines.append(Line(self.said, version, at_s, kind, text, count))
        self.said += 1

    def since(self, version: int) -> Iterator[Line]:
        """The lines that came or changed after it."""
        return (line for line in self.lines if line.version > version)


Told = tuple[str, str, int]
"""Kind, words and how many nodes a line is about."""


def told(event: Event) -> Told | None:
    """What a line would say of an event; nothing for what the counts say better."""
    if isinstance(event, Noted):
        return _noted(event.kind, event.data)
    if isinstance(event, Answered):
        outcome = event.outcome
        if isinstance(outcome, OutOfBudget):
            return "refused", str(outcome), 1
        return (
            ("failed", f"{event.request.role}: {outcome}", 1)
            if isinstance(outcome, Failed)
            else None
        )
    if isinstance(event, Finished):
        if event.error:
            return "error", event.error, 1
        return ("ended", f"task {event.stream} ended", 1) if event.stream else None
    return None


def recorded(record: Mapping[str, Any]) -> Told | None:
    """The same of a journal's record, whatever that holds."""
    kind, value = record.get("kind"), record.get("value")
    held = cast("list[Any]", value) if isinstance(value, list) else []
    if kind == "note":
        said = cast("Mapping[str, Any]", value if isinstance(value, Mapping) else {})
        return _noted(str(record.get("ask", "")), said)
    if kind == "denied":
        return "refused", _refusal(held), 1
    if kind == "failed":
        role = str(record.get("role", "")) or str(record.get("ask", ""))
        return "failed", f"{role}: {_words(held[0] if held else '')}", 1
    return None


def _refusal(held: Sequence[Any]) -> str:
    unit, asked, left, account = [*held[:4], "", math.nan, 0, ""][:4]
    sizes = [v for v in (asked, left) if isinstance(v, int | float) and abs(v) < _LARGEST]
    if len(held) < 3 or len(sizes) < 2:
        return f"{_words(unit)}: spent"
    return str(OutOfBudget(str(unit)[:40], *sizes, account=str(account)[:80]))


def _noted(kind: str, data: Mapping[str, Any]) -> Told | None:
    if kind in DECISIONS:
        return "decided", Decision("", kind, data).told, 1
    ids = data.get("ids")
    many = len(cast("list[Any]", ids)) if isinstance(ids, list | tuple) else 1
    if kind == "lost":
        if data.get("cause") == "budget":
            return None  # the refusal was told already
        return "lost", f"{_words(data.get('id'))}: {_words(data.get('reason'))}", 1
    if kind == "settled":
        return kind, _words(data.get("text")), 1
    if kind == "ranked":
        items = data.get("items")
        count = len(cast("list[Any]", items)) if isinstance(items, list | tuple) else 0
        return "ranked", f"{count:,} candidates, best first", 1
    if kind == "expanded":
        depth = data.get("depth")
        return kind, "" if depth is None else f"depth {_words(depth)}", many
    if kind in ("kept", "pruned"):
        depth = data.get("depth")
        where = "" if depth is None else f" at depth {_words(depth)}"
        return kind, f"{many:,} {'node' if many == 1 else 'nodes'}{where}", 1
    if kind in ("scored", "backed_up", "tree", "chosen", "cut"):
        return kind, "", many
    rest = ((k, v) for k, v in list(data.items())[:8] if v not in (None, "", []))
    return _words(kind), ", ".join(f"{_words(k)} {_words(v)}" for k, v in rest), 1


def _words(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if value is None:
        return "?"
    try:
        return str(value).replace("_", " ")[:LONGEST]
    except ValueError:  # whole numbers may have more digits than Python writes
        return "a very large number"
