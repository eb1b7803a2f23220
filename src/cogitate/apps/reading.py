"""What a journal holds, read without the code that wrote it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from cogitate.core.errors import InvalidInput
from cogitate.core.journal import usage_by_role
from cogitate.core.usage import ZERO, Usage
from cogitate.drive import FileJournal


@dataclass(frozen=True)
class Summary:
    """One stream of a journal."""

    header: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]
    """The notes and replies in order; the tree is drawn from them."""
    roles: Mapping[str, Usage]
    outcomes: Mapping[str, int]
    """How many replies, refusals and failures."""
    streams: Sequence[str]

    @property
    def total(self) -> Usage:
        """Everything spent."""
        return sum(self.roles.values(), ZERO)

    @property
    def heading(self) -> str:
        """The run card in a few lines."""
        from .render import one_line

        models = self.header.get("models")
        held: Mapping[str, Any] = (
            cast(Mapping[str, Any], models) if isinstance(models, Mapping) else {}
        )
        counted = ", ".join(f"{n} {kind}" for kind, n in sorted(self.outcomes.items()))
        rows = {
            "question": _question(self.header.get("task")),
            "strategy": self.header.get("strategy") or "",
            "model": ", ".join(f"{role}={spec}" for role, spec in held.items()),
            "seed": self.header.get("seed"),
            "budget": self.header.get("budget") or "unbounded",
            "records": counted or "none yet",
        }
        # A journal may come from anybody: nothing of it is trusted to be what it should be.
        lines = [f"{name:<10}{one_line(str(value), 300)}" for name, value in rows.items()]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "header": dict(self.header),
            "notes": [dict(r) for r in self.records if r["kind"] == "note"],
            "roles": {role: usage.as_dict() for role, usage in self.roles.items()},
            "usage": self.total.as_dict(),
            "outcomes": dict(self.outcomes),
            "streams": list(self.streams),
        }


def _question(task: Any) -> str:
    """The last message of a recorded task, whatever was recorded."""
    try:
        return str(task["messages"][-1]["content"])
    except (KeyError, IndexError, TypeError):
        return ""


def summary(book: FileJournal, stream: str = "") -> Summary:
    """Read one stream.

    Raises:
        InvalidInput: when the journal has no such stream.
    """
    streams = [name for name in book.streams() if name]
    if stream and stream not in streams:
        raise InvalidInput(
            f"the stream {stream!r} was asked for, but {book.path} holds "
            f"{', '.join(streams[:8]) or 'only one problem'}"
        )
    records = list(book.lines(stream))
    told = [{"stream": stream, **r} for r in records if r["kind"] in ("note", "reply")]
    counted = Counter(
        r["kind"] for r in records if r["kind"] in ("reply", "denied", "failed", "late")
    )
    spent = records if stream else list(book.lines())
    roles = usage_by_role(r for r in spent if r["kind"] in ("reply", "failed", "late"))
    return Summary(book.header, told, roles, counted, streams)
