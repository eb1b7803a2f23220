"""The search trees of a run, rebuilt step by step from what its flows published.

Notes that are understood: `expanded` (`id`, `parent`, `done`), `scored` (`ids`, `values`, `reasons`, or `id`,
`value`, `reason`), `backed_up` (the same with `visits`), `tree` (`ids`, `visits`, `values`: means), `kept`, `pruned`,
`chosen` and `cut` (`ids` or `id`), `lost` (`id`, `cause`, `reason`; it hangs where its name says), `ranked` (`items`
of `id`, `text`, `value`, best first). `decided`, `threshold`, `escalated` and `routed` are decisions, others are counted. The text
of a node is what its flow generated before it was expanded.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from cogitate.core.events import Answered, Noted
from cogitate.core.requests import Completion, Generate, Reply

from .notes import DECISIONS, LONGEST, MARKED, Decision, rows_of

Said = Noted | Answered | Mapping[str, Any]
"""An event, a journal's record, or a mapping with `kind` and the note's data."""

_TEXT = 4000
"""Characters kept of what a node's flow generated; its end counts."""
_SHORT = 200
_ROOM = 16_000_000
"""Characters of all nodes together, beyond which only short texts are kept."""
_WAITING = 10_000
"""Flows whose text is held until they say what it belongs to."""
_TRACKED = 200
_DECISIONS = 200
_CLIMB = 10_000
_LARGEST = 1e300
_JUDGES = frozenset({"judge", "verifier"})

Place = tuple[str, str]
"""Stream and path of a flow."""


class Branch:
    """A node of the search tree."""

    # Slots, and no dataclass: a run has a hundred thousand. Mutable on purpose: it grows while notes arrive.
    __slots__ = (
        "above", "cause", "children", "done", "id", "made_at", "mark", "mean",
        "order", "parent", "place", "reason", "text", "value", "visits",
    )  # fmt: skip

    def __init__(self, id: str, place: Place = ("", ""), order: int = 0) -> None:
        """A node of which nothing is known but its name."""
        self.id, self.place, self.order = id, place, order
        self.text = ""
        self.value: float | None = None
        self.reason = ""
        """Why it could not be scored, or was lost."""
        self.visits = 0
        self.mean: float | None = None
        """The mean value below it, where the search tells one."""
        self.mark = ""
        """`kept`, `pruned`, `cut` or `chosen`: the last that was said of it."""
        self.cause = ""
        """Why it was cut: `failed`, `budget`, `deadline`."""
        self.done = False
        self.parent = ""
        self.above: Branch | None = None
        self.made_at = ""
        """Path of the flow that expanded it."""
        self.children: list[Branch] = []

    @property
    def state(self) -> str:
        """`chosen`, `lost` (to a failure), `cut` (by the budget), `pruned`, `finished`, `kept` or `open`."""
        if self.mark == "chosen":
            return "chosen"
        if self.mark == "cut":
            return "lost" if self.cause == "failed" else "cut"
        if self.mark == "pruned":
            return "pruned"
        return "finished" if self.done else self.mark or "open"


@dataclass
class Grove:
    """The trees of a run; searches at different places in it are kept apart."""

    # Mutable on purpose: the live view adds events as they come.
    longest: int = _TEXT
    """Characters kept of a node's text, at most."""
    tracked: int = _TRACKED
    """How many of the best and of the newest nodes are at hand without a look at all."""
    most: int | None = None
    """Nodes that are kept; what is said of further ones is counted in `dropped`."""
    room: int = _ROOM
    """Characters that the texts of all nodes may take together, before only short ones are kept."""
    touched: dict[int, Branch] | None = None
    """By order: what changed since somebody emptied it; a dictionary where somebody does."""
    scopes: dict[Place, dict[str, Branch]] = field(default_factory=dict[Place, dict[str, Branch]])
    nodes: int = 0
    dropped: int = 0
    """How often something was said of a node that is not kept."""
    others: int = 0
    """Notes that say nothing about a tree."""
    texts: dict[Place, str] = field(default_factory=dict[Place, str])
    """What flows generated that have not said yet which node it made."""
    decisions: list[Decision] = field(default_factory=list[Decision])
    """The first of them."""
    decided: int = 0
    """How many there were."""
    latest: Decision | None = None
    losses: dict[str, tuple[int, str]] = field(default_factory=dict[str, tuple[int, str]])
    """By cause: how many, and why the first."""
    _current: dict[Place, Place] = field(default_factory=dict[Place, Place])
    """Which search a flow runs now."""
    _ended: dict[Place, int] = field(default_factory=dict[Place, int])
    """How many it ran before."""
    _best: list[tuple[float, int, Branch]] = field(default_factory=list[tuple[float, int, Branch]])
    _newest: deque[Branch] = field(init=False)
    _winners: deque[Branch] = field(init=False)

    def __post_init__(self) -> None:
        self._newest = deque(maxlen=self.tracked)
        self._winners = deque(maxlen=self.tracked)

    # ------------------------------------------------------------------------------- taking in

    def add(self, said: Said) -> None:
        """Take in one event; what is malformed is counted and changes nothing."""
        if isinstance(said, Noted):
            self._note(said.stream, said.at, said.kind, said.data)
        elif isinstance(said, Answered):
            value = said.outcome.value if isinstance(said.outcome, Reply) else None
            if isinstance(said.request, Generate) and isinstance(value, Completion):
                self._generated(said.stream, said.at, said.request.role, value.text)
        else:
            self._record(said)

    def _record(self, said: Mapping[str, Any]) -> None:
        kind, data = said.get("kind"), said.get("data")
        stream, at = str(said.get("stream", "")), str(said.get("at", ""))
        if kind == "reply":
            value = said.get("value")
            if said.get("ask") == "Generate" and isinstance(value, Mapping):
                text = str(cast("Mapping[str, Any]", value).get("text", ""))
                self._generated(stream, at, str(said.get("role", "")), text)
            return
        if kind == "note":  # a journal's record
            kind, data = said.get("ask"), said.get("value")
        inner = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else said
        self._note(stream, at, str(kind), inner)

    def _generated(self, stream: str, at: str, role: str, text: str) -> None:
        if role in _JUDGES:
            return
        place = (stream, at.rpartition("#")[0])
        held = self.texts.get(place)
        if held is None and len(self.texts) >= _WAITING:
            self.texts.pop(next(iter(self.texts)))
        self.texts[place] = text[-_TEXT:] if held is None else (held + text)[-_TEXT:]

    def _note(self, stream: str, at: str, kind: str, data: Mapping[str, Any]) -> None:
        path = at.rpartition("#")[0]
        if kind in DECISIONS:
            self._decision((stream, path), kind, data)
            return
        if kind == "expanded" and type(id := data.get("id")) is str and id and "ids" not in data:
            parent = data.get("parent")  # the commonest note by far, without the way around below
            held = self._scope(stream, path, kind, (id, str(parent)) if parent else (id,))
            if held is not None:
                self._expanded(held, data, (stream, path))
            return
        rows = rows_of(kind, data)
        if not rows:
            self.others += 1
            return
        parent = rows[0].get("parent")
        ids = [row["id"] for row in rows]
        held = self._scope(stream, path, kind, ids if parent in (None, "") else [*ids, str(parent)])
        if held is None:
            return
        if kind == "expanded":
            for row in rows:
                self._expanded(held, row, (stream, path))
            return
        for place, row in enumerate(rows):
            if kind == "ranked" and row["id"] not in held[1]:
                continue  # a vote over searches names its runs, not their nodes
            self._told(held, kind, row, best=place == 0)
        if kind == "ranked":
            self._end((stream, path))

    def _decision(self, place: Place, kind: str, data: Mapping[str, Any]) -> None:
        if kind == "escalated":
            self._end(place)
        self.decided += 1
        self.latest = Decision(place[1], kind, dict(data))
        if len(self.decisions) < _DECISIONS:
            self.decisions.append(self.latest)

    def _node(self, held: _Held, id: str) -> Branch | None:
        node = held[1].get(id)
        if node is None:
            if self.most is not None and self.nodes >= self.most:
                self.dropped += 1
                return None
            node = held[1][id] = Branch(id, held[0], self.nodes)
            self.nodes += 1
            self._newest.append(node)
        if self.touched is not None:
            self.touched[node.order] = node
        return node

    def _expanded(self, held: _Held, row: Mapping[str, Any], place: Place) -> None:
        node = self._node(held, row["id"])
        made = self.texts.pop(place, "")
        if node is None:
            return
        node.made_at = place[1]
        node.done = row.get("done") is True
        said = row.get("text")
        if made or said:
            self._written(node, said if isinstance(said, str) and said else made)
        parent = row.get("parent")
        if parent is None or parent == "" or node.above is not None:
            return
        _hang(node, self._node(held, str(parent)))

    def _told(self, held: _Held, kind: str, row: Mapping[str, Any], *, best: bool) -> None:
        node = self._node(held, row["id"])
        if node is None:
            return
        value, reason, visits = row.get("value"), row.get("reason"), row.get("visits")
        if isinstance(visits, int):
            node.visits = visits
        if isinstance(value, int | float) and abs(value) < _LARGEST:
            if kind == "tree":
                node.mean = float(value)
            else:
                self._scored(node, float(value))
        elif isinstance(reason, str) and reason:
            node.reason = reason[:LONGEST]
        text = row.get("text")
        if isinstance(text, str) and text and not (kind == "ranked" and node.text):
            self._written(node, text)  # the whole text of a candidate repeats its steps
        if kind in MARKED or (kind == "ranked" and best):
            self._marked(held, node, kind, row)

    def _marked(self, held: _Held, node: Branch, kind: str, row: Mapping[str, Any]) -> None:
        node.mark = MARKED.get(kind, "chosen")
        if node.mark == "chosen":
            self._winners.append(node)
        if kind == "lost":
            node.cause = str(row.get("cause") or "")[:40]
            if node.above is None and not node.made_at:  # lost before it was there
                _hang(node, held[1].get(node.id.rpartition(".")[0]))
            count, first = self.losses.get(node.cause, (0, node.reason))
            if count or len(self.losses) < 100:
                self.losses[node.cause] = (count + 1, first)

    def _scored(self, node: Branch, value: float) -> None:
        node.value, node.reason = value, ""
        entry = (value, -node.order, node)
        best = self._best
        if len(best) < self.tracked:
            if not any(value == v and node is n for v, _, n in best):
                heapq.heappush(best, entry)
        elif entry[:2] > best[0][:2] and not any(entry[:2] == one[:2] for one in best):
            heapq.heapreplace(best, entry)

    def _written(self, node: Branch, text: str) -> None:
        if not text:
            return
        limit = self.longest if self.room > 0 else min(_SHORT, self.longest)
        node.text = text[-limit:] if len(text) > limit else text
        self.room -= len(node.text)

    def _scope(self, stream: str, path: str, kind: str, ids: Sequence[str]) -> _Held | None:
        """The search that a note belongs to.

        A search grows its nodes in child flows and judges them in its own, so a note belongs to the
        nearest place above that knows one of its nodes; a new root to the flow above its own.
        """
        place = path
        while True:
            key = self._current.get((stream, place))
            held = None if key is None else self.scopes[key]
            if key is not None and held is not None and not held.keys().isdisjoint(ids):
                known = held.get(ids[0]) if kind == "expanded" else None
                if known is not None and known.made_at not in ("", path):
                    return self._opened((stream, path))  # another search with the same names
                return key, held
            if not place:
                break
            place = _above(place)
        if kind == "ranked":
            return None
        return self._opened((stream, _above(path) if kind in ("expanded", "lost") else path))

    def _opened(self, place: Place) -> _Held | None:
        key = self._current.get(place)
        if key is None:
            if self.most is not None and len(self.scopes) >= self.most:
                self.dropped += 1
                return None
            ended = self._ended.get(place, 0)
            key = place if not ended else (place[0], f"{place[1]}+{ended + 1}")
            self._current[place] = key
            self.scopes[key] = {}
        return key, self.scopes[key]

    def _end(self, place: Place) -> None:
        """A search is over: what its flow publishes from now on is of another, whatever its nodes are called."""
        if self._current.pop(place, None) is not None:
            self._ended[place] = self._ended.get(place, 0) + 1

    # -------------------------------------------------------------------------------- looking

    def best(self) -> list[Branch]:
        """The nodes with the highest scores, best first."""
        return sorted(
            {id(n): n for _, _, n in self._best}.values(),
            key=lambda n: (-(n.value if n.value is not None else -math.inf), n.order),
        )

    def newest(self) -> list[Branch]:
        """The nodes that came last, the last first."""
        return list(reversed(self._newest))

    def winners(self) -> list[Branch]:
        """What searches ranked first, the last of them first."""
        return list({id(n): n for n in reversed(self._winners) if n.mark == "chosen"}.values())

    def every(self) -> Iterator[Branch]:
        """All nodes."""
        for held in self.scopes.values():
            yield from held.values()

    def roots(self) -> list[tuple[str, list[Branch]]]:
        """The trees by place; the place is empty where there is only one."""
        return [
            (self.title(place), [n for n in held.values() if n.above is None])
            for place, held in self.scopes.items()
        ]

    def title(self, place: Place) -> str:
        """What a search is called beside others."""
        if len(self.scopes) == 1:
            return ""
        path, _, number = place[1].partition("+")
        said = (place[0], path or "top", f"search {number}" if number else "")
        return " ".join(part for part in said if part)


_Held = tuple[Place, dict[str, Branch]]


def grown(events: Iterable[Said]) -> Grove:
    """The trees that these events or journal records tell of.

    >>> said = [{"kind": "expanded", "id": "a"}, {"kind": "expanded", "id": "b", "parent": "a"}]
    >>> [(root.id, root.children[0].id) for _, roots in grown(said).roots() for root in roots]
    [('a', 'b')]
    """
    grove = Grove()
    for said in events:
        grove.add(said)
    return grove


def _above(path: str) -> str:
    """The flow above: a child adds two numbers to its parent's path."""
    end = path.rfind("/", 0, max(0, path.rfind("/")))
    return path[:end] if end > 0 else ""


def _hang(node: Branch, above: Branch | None) -> None:
    if above is not None and _may_hang(node, above):
        node.parent, node.above = above.id, above
        above.children.append(node)


def _may_hang(node: Branch, above: Branch) -> bool:
    """Whether no ring comes of it; notes may be anything, and only a node with children closes one."""
    if node is above:
        return False
    if not node.children:
        return True
    place: Branch | None = above
    for _ in range(_CLIMB):
        if place is None:
            return True
        if place is node:
            return False
        place = place.above
    return False
