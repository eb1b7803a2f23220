"""The search tree of a run, rebuilt from what its flows published.

Notes that are understood: `expanded` (`id`, `parent`, `depth`), `scored` (`id`, `value`, or `reason`
where it could not be scored), `backed_up` (`id`, `value`, `visits`), and `kept`, `pruned`, `cut`, `chosen`
(`ids` or `id`). Any of them may carry `text`. Others are counted and not shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from cogitate.core.events import Noted

from .clean import one_line

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text
    from rich.tree import Tree

Note = Noted | Mapping[str, Any]
"""An event, a journal's note record, or a mapping with `kind` and the note's data."""

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
    children: list[Branch] = field(default_factory=list["Branch"])


@dataclass
class Grove:
    """The trees of a run; searches at different places in it are kept apart."""

    # Mutable on purpose: the live view adds notes as they come.
    scopes: dict[tuple[str, str], dict[str, Branch]] = field(
        default_factory=dict[tuple[str, str], dict[str, Branch]]
    )
    others: int = 0
    """Notes that say nothing about a tree."""

    def add(self, note: Note) -> None:
        """Take in one note; what is malformed is counted and changes nothing."""
        stream, at, kind, data = _read(note)
        ids = _ids(data)
        if kind not in ("expanded", "scored", "backed_up", *_MARKS) or not kind or not ids:
            self.others += 1
            return
        parent = data.get("parent")
        parent_id = "" if parent is None else str(parent)
        held = self._scope(stream, at, ids, parent_id)
        for name in ids:
            node = held.setdefault(name, Branch(name))
            if isinstance(text := data.get("text"), str):
                node.text = text
            if kind == "expanded" and parent_id and not node.parent:
                node.parent = parent_id
                held.setdefault(parent_id, Branch(parent_id)).children.append(node)
            elif kind in ("scored", "backed_up"):
                _score(node, data)
            elif kind in _MARKS:
                node.mark = kind

    def roots(self) -> list[tuple[str, list[Branch]]]:
        """The trees by place; the place is empty where there is only one."""
        found: list[tuple[str, list[Branch]]] = []
        for (stream, path), held in self.scopes.items():
            place = " ".join(p for p in (stream, path) if p) if len(self.scopes) > 1 else ""
            found.append((place, _rooted(held)))
        return found

    def _scope(self, stream: str, at: str, ids: Sequence[str], parent: str) -> dict[str, Branch]:
        """The search a note belongs to: a child flow may speak of its parent flow's nodes."""
        path = at.rpartition("#")[0] if "#" in at else at
        wanted = {*ids, parent} - {""}
        place = path
        while True:
            held = self.scopes.get((stream, place))
            if held is not None and not wanted.isdisjoint(held):
                return held
            if not place:
                return self.scopes.setdefault((stream, path), {})
            place = place.rpartition("/")[0]


def grown(notes: Iterable[Note]) -> Grove:
    """The trees that these notes tell of.

    >>> said = [{"kind": "expanded", "id": "a"}, {"kind": "expanded", "id": "b", "parent": "a"}]
    >>> [(root.id, root.children[0].id) for _, roots in grown(said).roots() for root in roots]
    [('a', 'b')]
    """
    grove = Grove()
    for note in notes:
        grove.add(note)
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


def _read(note: Note) -> tuple[str, str, str, Mapping[str, Any]]:
    if isinstance(note, Noted):
        return note.stream, note.at, note.kind, note.data
    kind, data = note.get("kind"), note.get("data")
    if kind == "note":  # a journal's record
        kind, data = note.get("ask"), note.get("value")
    inner = cast("Mapping[str, Any]", data) if isinstance(data, Mapping) else note
    return str(note.get("stream", "")), str(note.get("at", "")), str(kind), inner


def _ids(data: Mapping[str, Any]) -> list[str]:
    many = data.get("ids")
    if isinstance(many, list | tuple):
        return [str(i) for i in cast("Sequence[Any]", many)]
    one = data.get("id")
    return [] if one is None else [str(one)]


def _score(node: Branch, data: Mapping[str, Any]) -> None:
    value, visits, reason = data.get("value"), data.get("visits"), data.get("reason")
    if isinstance(value, int | float) and math.isfinite(value):
        node.value, node.reason = float(value), ""
    if isinstance(visits, int):
        node.visits = visits
    if isinstance(reason, str):
        node.reason = reason


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
