"""The search tree of a run, rebuilt from what its flows published.

Notes that are understood: `expanded` (`id`, `parent`), `scored` (`ids`, `values`, `reasons`, or `id`,
`value`, `reason`), `backed_up` (the same with `visits`), `kept`, `pruned` and `chosen` (`ids` or `id`), `lost`
(`id`, `reason`), `ranked` (`items` of `id`, `text`, `value`, best first). Other notes are counted and not
shown. The text of a node is what its flow generated before it was expanded.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from cogitate.core.events import Answered, Noted
from cogitate.core.requests import Completion, Generate, Reply

from .clean import one_line

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text
    from rich.tree import Tree

Said = Noted | Answered | Mapping[str, Any]
"""An event, a journal's record, or a mapping with `kind` and the note's data."""

_TEXT = 4000
"""Characters kept of what a node's flow generated; its end counts."""
_WAITING = 10_000
"""Flows whose text is held until they say what it belongs to."""

_MARKS = {
    "kept": ("✓", "+", "green"),
    "pruned": ("✗", "x", "red"),
    "cut": ("✂", "~", "yellow"),
    "chosen": ("★", "*", "bold green"),
    "": ("·", ".", ""),
}


@dataclass
class Branch:
    """A node of the search tree."""

    # Mutable on purpose: it grows while notes arrive.
    id: str
    text: str = ""
    value: float | None = None
    reason: str = ""
    """Why it could not be scored."""
    visits: int = 0
    mark: str = ""
    """`kept`, `pruned`, `cut` or `chosen`: the last that was said of it."""
    parent: str = ""
    made_at: str = ""
    """Path of the flow that expanded it."""
    children: list[Branch] = field(default_factory=list["Branch"])


@dataclass
class Grove:
    """The trees of a run; searches at different places in it are kept apart."""

    # Mutable on purpose: the live view adds events as they come.
    scopes: dict[tuple[str, str], dict[str, Branch]] = field(
        default_factory=dict[tuple[str, str], dict[str, Branch]]
    )
    others: int = 0
    """Notes that say nothing about a tree."""
    texts: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    """What flows generated that have not said yet which node it made."""

    def add(self, said: Said) -> None:
        """Take in one event; what is malformed is counted and changes nothing."""
        stream, at, kind, data = _read(said)
        path = at.rpartition("#")[0]
        if kind == _GENERATED:
            self._generated((stream, path), str(data.get("text", "")))
            return
        if kind == _OTHER:
            return
        changes = list(_changes(kind, data))
        if not changes:
            self.others += 1
            return
        ids = [change.id for change in changes] + [c.parent for c in changes if c.parent]
        held = self._scope(stream, path, kind, ids)
        if held is None:
            return
        for change in changes:
            self._apply(held, change, (stream, path), kind)

    def _generated(self, place: tuple[str, str], text: str) -> None:
        if place not in self.texts and len(self.texts) >= _WAITING:
            self.texts.pop(next(iter(self.texts)))
        self.texts[place] = (self.texts.get(place, "") + text)[-_TEXT:]

    def _apply(
        self, held: dict[str, Branch], change: _Change, place: tuple[str, str], kind: str
    ) -> None:
        if kind == "ranked" and change.id not in held:
            return  # a vote over searches names its runs, not their nodes
        node = held.setdefault(change.id, Branch(change.id))
        if kind == "expanded":
            node.made_at = place[1]
            node.text = self.texts.pop(place, "") or node.text
        if kind == "expanded" and change.parent and not node.parent:
            node.parent = change.parent
            held.setdefault(change.parent, Branch(change.parent)).children.append(node)
        if change.text and not (kind == "ranked" and node.text):  # the whole text repeats its steps
            node.text = change.text
        node.mark = change.mark or node.mark
        node.visits = change.visits or node.visits
        if change.value is not None:
            node.value, node.reason = change.value, ""
        else:
            node.reason = change.reason or node.reason

    def roots(self) -> list[tuple[str, list[Branch]]]:
        """The trees by place; the place is empty where there is only one."""
        found: list[tuple[str, list[Branch]]] = []
        for (stream, path), held in self.scopes.items():
            place = (
                " ".join(p for p in (stream, path or "top") if p) if len(self.scopes) > 1 else ""
            )
            found.append((place, _rooted(held)))
        return found

    def _scope(
        self, stream: str, path: str, kind: str, ids: Sequence[str]
    ) -> dict[str, Branch] | None:
        """The search that a note belongs to.

        A search grows its nodes in child flows and judges them in its own, so a note belongs to the
        nearest place above that knows one of its nodes; a new root to the flow above its own.
        """
        place = path
        while True:
            held = self.scopes.get((stream, place))
            if held is not None and not held.keys().isdisjoint(ids):
                twice = (
                    kind == "expanded" and ids[0] in held and held[ids[0]].made_at not in ("", path)
                )
                return self.scopes.setdefault((stream, path), {}) if twice else held
            if not place:
                break
            place = _above(place)
        if kind == "ranked":
            return None
        home = _above(path) if kind in ("expanded", "lost") else path
        return self.scopes.setdefault((stream, home), {})


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


@dataclass(frozen=True)
class SearchTree:
    """Shows a grove with scores, marks and texts; print it with rich."""

    grove: Grove
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Texts by candidate id, for notes that carry none."""
    max_nodes: int = 200
    max_depth: int = 24

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        plain = options.ascii_only
        left = [self.max_nodes]
        hidden = 0
        for place, roots in self.grove.roots():
            if place:
                yield Text(one_line(place, options.max_width, ascii_only=plain), style="bold")
            for root in roots:
                tree, missing = self._tree(root, options.max_width, plain, left)
                hidden += missing
                if tree is not None:
                    yield tree
        if hidden:
            yield Text(f"and {hidden} more nodes", style="dim")
        if not self.grove.scopes:
            yield Text("no search tree was published", style="dim")
        else:
            yield Text(_key(plain), style="dim")

    def _tree(
        self, root: Branch, width: int, plain: bool, left: list[int]
    ) -> tuple[Tree | None, int]:
        """The tree below a root, without recursion: a model decides how deep it is."""
        from rich.tree import Tree

        hidden, top = 0, None
        stack: list[tuple[Branch, int, Tree | None]] = [(root, 0, None)]
        while stack:
            node, depth, above = stack.pop()
            if left[0] <= 0 or depth > self.max_depth:
                hidden += _size(node)
                continue
            left[0] -= 1
            label = self._label(node, max(16, width - 4 * depth), plain)
            here = Tree(label, guide_style="dim") if above is None else above.add(label)
            top = top or here
            stack += [(child, depth + 1, here) for child in reversed(node.children)]
        return top, hidden

    def _label(self, node: Branch, width: int, plain: bool) -> Text:
        from rich.text import Text

        mark, ascii_mark, style = _MARKS[node.mark]
        label = Text(no_wrap=True, overflow="crop" if plain else "ellipsis")
        label.append(f"{ascii_mark if plain else mark} ", style)
        if node.value is not None:
            label.append(f"{node.value:.3f} ", "cyan")
        elif node.reason:
            label.append("unscored ", "yellow")
        if node.visits:
            label.append(f"n={node.visits} ", "dim")
        text = node.text or self.texts.get(node.id, "") or node.reason or f"({node.id})"
        label.append(
            one_line(text, max(8, width - len(label.plain) - 1), ascii_only=plain),
            "dim" if node.mark == "pruned" else "",
        )
        return label


def _key(plain: bool) -> str:
    marks = ((_MARKS[name][1 if plain else 0], name) for name in _MARKS if name)
    return "  ".join(f"{mark} {name}" for mark, name in marks)


_GENERATED, _OTHER = "generated", "other"


@dataclass(frozen=True, slots=True)
class _Change:
    """What one note says of one node."""

    id: str
    parent: str = ""
    text: str = ""
    value: float | None = None
    reason: str = ""
    visits: int = 0
    mark: str = ""


def _read(said: Said) -> tuple[str, str, str, Mapping[str, Any]]:
    if isinstance(said, Noted):
        return said.stream, said.at, said.kind, said.data
    if isinstance(said, Answered):
        value = said.outcome.value if isinstance(said.outcome, Reply) else None
        if isinstance(said.request, Generate) and isinstance(value, Completion):
            return said.stream, said.at, _GENERATED, {"text": value.text}
        return said.stream, said.at, _OTHER, {}
    kind, data = said.get("kind"), said.get("data")
    if kind == "note":  # a journal's record
        kind, data = said.get("ask"), said.get("value")
    elif kind == "reply":
        kind, data = (_GENERATED if said.get("ask") == "Generate" else _OTHER), said.get("value")
    inner = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else said
    return str(said.get("stream", "")), str(said.get("at", "")), str(kind), inner


def _changes(kind: str, data: Mapping[str, Any]) -> Iterator[_Change]:
    if kind == "ranked":
        for place, item in enumerate(_listed(data.get("items"))):
            if isinstance(item, Mapping):
                told = _told(cast("Mapping[str, Any]", item), "chosen" if place == 0 else "")
                yield from told
    elif kind in ("expanded", "scored", "backed_up"):
        if "ids" not in data:
            yield from _told(data, "")
            return
        values, reasons = _listed(data.get("values")), _listed(data.get("reasons"))
        for i, name in enumerate(_listed(data.get("ids"))):
            value = values[i] if i < len(values) else None
            reason = reasons[i] if i < len(reasons) else ""
            yield from _told({"id": name, "value": value, "reason": reason}, "")
    elif kind in ("kept", "pruned", "chosen", "cut", "lost"):
        mark = "cut" if kind == "lost" else kind
        for name in _listed(data.get("ids")) or [data.get("id")]:
            yield from _told({**data, "id": name}, mark)


def _told(data: Mapping[str, Any], mark: str) -> Iterator[_Change]:
    name, parent = data.get("id"), data.get("parent")
    if name is None or name == "":
        return
    text, value, reason, visits = (data.get(k) for k in ("text", "value", "reason", "visits"))
    known = isinstance(value, int | float) and math.isfinite(value)
    yield _Change(
        id=str(name),
        parent="" if parent is None else str(parent),
        text=text if isinstance(text, str) else "",
        value=float(cast(float, value)) if known else None,
        reason=reason if isinstance(reason, str) else "",
        visits=visits if isinstance(visits, int) else 0,
        mark=mark,
    )


def _listed(value: Any) -> list[Any]:
    return list(cast("Sequence[Any]", value)) if isinstance(value, list | tuple) else []


def _above(path: str) -> str:
    """The flow above: a child adds two numbers to its parent's path."""
    return "/".join(path.split("/")[:-2])


def _rooted(held: Mapping[str, Branch]) -> list[Branch]:
    """The nodes without a parent; where notes form a ring, its first node stands for it, cut open."""
    roots = [n for n in held.values() if not n.parent]
    reached = {id(n) for root in roots for n in _below(root)}
    for node in held.values():
        if id(node) not in reached:
            above = held[node.parent]
            above.children = [c for c in above.children if c is not node]
            node.parent = ""
            roots.append(node)
            reached |= {id(n) for n in _below(node)}
    return roots


def _below(root: Branch) -> Iterator[Branch]:
    stack = [root]
    seen: set[int] = set()
    while stack:
        node = stack.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        stack += node.children


def _size(root: Branch) -> int:
    return sum(1 for _ in _below(root))
