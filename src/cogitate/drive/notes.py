"""What one note of a search says, node by node; notes of a journal may be anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

DECISIONS: Final = frozenset({"decided", "threshold", "escalated", "routed"})
"""Notes that say why a run went on as it did."""
MARKED: Final = {
    "kept": "kept",
    "pruned": "pruned",
    "chosen": "chosen",
    "cut": "cut",
    "lost": "cut",
}
LONGEST: Final = 400
"""Characters of a reason; notes may be anything."""
_LARGEST: Final = 10**300
_LISTS: Final = {"value": "values", "reason": "reasons", "visits": "visits"}


@dataclass(frozen=True, slots=True)
class Decision:
    """Why a run went on as it did."""

    place: str
    kind: str
    data: Mapping[str, Any]

    @property
    def told(self) -> str:
        """In one line."""
        number = {"escalated": "level", "routed": "arm"}.get(self.kind)
        if number is not None:
            at, reason = self.data.get(number), self.data.get("reason")
            shown = at + 1 if isinstance(at, int) else "?"
            said = f"{self.kind} to {number} {shown}"
            return f"{said}, because {_short(reason)}" if reason else said
        held = [(k, v) for k, v in self.data.items() if v not in (None, [], "")][:8]
        rest = (f"{_short(k).replace('_', ' ')} {_short(v)}" for k, v in held)
        return f"{self.kind}: {', '.join(rest)}"


def _short(value: Any) -> str:
    if isinstance(value, int) and abs(value) > _LARGEST:  # Python refuses to write very long ones
        return "a very large number"
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:LONGEST]


def rows_of(kind: str, data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What one note says, node by node; every row has an `id`."""
    found: list[dict[str, Any]] = []
    if kind == "ranked":
        rows = [cast("Mapping[str, Any]", i) for i in _listed(data.get("items")) if _is_map(i)]
        found = [{**row} for row in rows]
    elif kind in ("expanded", "scored", "backed_up", "tree"):
        if "ids" not in data:
            found = [{**data}]
        else:
            columns = {name: _listed(data.get(of)) for name, of in _LISTS.items()}
            found = [
                {"id": id} | {n: c[i] for n, c in columns.items() if i < len(c)}
                for i, id in enumerate(_listed(data.get("ids")))
            ]
    elif kind in MARKED:
        rest = {name: value for name, value in data.items() if name != "ids"}
        found = [{**rest, "id": id} for id in _listed(data.get("ids")) or [data.get("id")]]
    for row in found:
        id = row.get("id")
        row["id"] = id if isinstance(id, str) else _named(id)
    return [row for row in found if row["id"]]


def _named(id: Any) -> str:
    if id is None or (isinstance(id, int) and abs(id) > _LARGEST):
        return ""
    return str(id)


def _is_map(value: Any) -> bool:
    return isinstance(value, Mapping)


def _listed(value: Any) -> list[Any]:
    return list(cast("Sequence[Any]", value)) if isinstance(value, list | tuple) else []
