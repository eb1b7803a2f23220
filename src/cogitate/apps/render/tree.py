"""Drawing search trees: how a line of them looks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cogitate.drive.grove import Branch, Grove
from cogitate.drive.thinning import worth_showing

from .clean import one_line

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text

_MARKS: Final = {
    "open": ("·", ".", ""),
    "kept": ("✓", "+", "green"),
    "pruned": ("✗", "x", "red"),
    "cut": ("✂", "~", "yellow"),
    "lost": ("!", "!", "yellow"),
    "finished": ("●", "o", "green"),
    "chosen": ("★", "*", "bold green"),
}
_KEY: Final = {"cut": "cut by the budget", "lost": "lost to a failure"}
_GUIDES: Final = ("└── ", "├── ", "│   ", "    ")
_ASCII_GUIDES: Final = ("`-- ", "+-- ", "|   ", "    ")


@dataclass(frozen=True)
class SearchTree:
    """Shows a grove with scores, marks and texts; print it with rich.

    What does not fit into `max_nodes` is counted: the chosen, the best and the first generations are shown.
    """

    grove: Grove
    texts: Mapping[str, str] = field(default_factory=dict[str, str])
    """Texts by candidate id, for notes that carry none."""
    max_nodes: int = 200
    width: int = 0
    """Characters of a text; as many as fit on the line where 0."""
    full: bool = False
    """Whole texts, below their lines."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        plain, room = options.ascii_only, options.max_width
        if not self.grove.scopes:
            yield Text("no search tree was published", style="dim")
            return
        shown = worth_showing(self.grove, self.max_nodes)
        style = Style(plain, room, self.width, self.full, self.texts)
        yield from tree_lines(self.grove, shown, style)
        if self.grove.nodes > len(shown):
            yield Text(f"and {self.grove.nodes - len(shown):,} more nodes", style="dim")
        yield Text(key(shown, plain), style="dim")


@dataclass(frozen=True, slots=True)
class Style:
    """How lines are drawn."""

    plain: bool = False
    """ASCII only."""
    room: int = 80
    """Cells of a line."""
    width: int = 0
    full: bool = False
    texts: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def guides(self) -> tuple[str, str, str, str]:
        """The last child's, another child's, what runs past, and nothing."""
        whole = _ASCII_GUIDES if self.plain else _GUIDES
        if self.narrow:
            return whole[0][0] + " ", whole[1][0] + " ", whole[2][0] + " ", "  "
        return whole

    @property
    def narrow(self) -> bool:
        """Whether there is little room for anything but the text."""
        return self.room < 60


def tree_lines(grove: Grove, shown: Iterable[Branch], style: Style) -> Iterator[Text]:
    """Lines for these nodes; each hangs from its nearest ancestor among them.

    Without recursion, and linear in what is shown: a model decides how deep and how wide a tree is.
    """
    from rich.text import Text

    held = {id(node): node for node in shown}
    below: dict[int, list[tuple[Branch, int]]] = {}
    tops: dict[tuple[str, str], list[tuple[Branch, int]]] = {}
    for node in sorted(held.values(), key=lambda n: n.order):
        above, skipped = _nearest(node, held)
        if above is None:
            tops.setdefault(node.place, []).append((node, skipped))
        else:
            below.setdefault(id(above), []).append((node, skipped))
    for place in (place for place in grove.scopes if place in tops):
        if title := grove.title(place):
            yield Text(one_line(title, style.room, ascii_only=style.plain), style="bold")
        stack = [(node, skipped, "", "") for node, skipped in reversed(tops[place])]
        while stack:
            node, skipped, guide, under = stack.pop()
            kids = below.get(id(node), [])
            near = sum(skip == 0 for _, skip in kids)
            yield from _lines(node, skipped, (guide, under), len(node.children) - near, style)
            last, between, bar, gap = style.guides
            for i, (kid, skip) in enumerate(reversed(kids)):
                ending = i == 0
                bars = (under + (last if ending else between), under + (gap if ending else bar))
                stack.append((kid, skip, *bars))


def _nearest(node: Branch, held: Mapping[int, Branch]) -> tuple[Branch | None, int]:
    """The nearest ancestor that is shown, and how many in between are not."""
    above, skipped = node.above, 0
    while above is not None and skipped < 10_000:
        if id(above) in held:
            return above, skipped
        above, skipped = above.above, skipped + 1
    return None, skipped


def _lines(
    node: Branch, skipped: int, guides: tuple[str, str], hidden: int, style: Style
) -> Iterator[Text]:
    from rich.text import Text

    half = style.room // 2
    guide, under = (g if len(g) <= half else "~" + g[1 - half :] for g in guides)
    line = Text(no_wrap=True, overflow="crop" if style.plain else "ellipsis", end="\n")
    line.append(guide, "dim")
    mark, ascii_mark, colour = _MARKS.get(node.state, _MARKS["open"])
    line.append(f"{ascii_mark if style.plain else mark} ", colour)
    if skipped:
        line.append(f"(+{skipped} above) ", "dim")
    for said, of in _numbers(node, narrow=style.narrow):
        line.append(said, of)
    more = f" {'...' if style.plain else '…'} {hidden:,} more" if hidden > 0 else ""
    room = max(8, style.room - len(line.plain) - len(more) - 1)
    text = node.text or style.texts.get(node.id, "")
    faint = "dim" if node.state == "pruned" else ""
    said = one_line(_said(node, text), min(room, style.width or room), ascii_only=style.plain)
    line.append(said, faint)
    line.append(more, "dim")
    yield line
    if (
        style.full
        and text
        and one_line(text, len(said), ascii_only=style.plain) != " ".join(text.split())
    ):
        yield from _whole(text, under, style)


def _whole(text: str, under: str, style: Style) -> Iterator[Text]:
    from rich.text import Text

    from .clean import cleaned, in_ascii

    for line in cleaned(text, lines=True).splitlines():
        shown = Text(under + "  ", style="dim", overflow="fold")
        yield shown.append(in_ascii(line) if style.plain else line)


def _numbers(node: Branch, *, narrow: bool) -> Iterator[tuple[str, str]]:
    if node.value is not None:
        yield f"{node.value:.3f} ", "cyan"
    elif node.reason and not node.cause:
        yield "unscored ", "yellow"
    if node.visits:
        yield f"n={node.visits} ", "dim"
    if node.mean is not None and not narrow:
        yield f"mean={node.mean:.3f} ", "dim"


def _said(node: Branch, text: str) -> str:
    if node.cause and node.reason:
        return f"[{node.reason}] {text}" if text else node.reason
    return text or node.reason or f"({node.id})"


def key(shown: Iterable[Branch], plain: bool) -> str:
    """What the marks mean, of those that are there."""
    there = {node.state for node in shown}
    return "  ".join(
        f"{mark[1 if plain else 0]} {_KEY.get(name, name)}"
        for name, mark in _MARKS.items()
        if name in there
    )
