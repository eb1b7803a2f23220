"""Tables for the terminal: accuracy by N, what a run cost by role, candidates, papers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cogitate.core.candidates import Artifact, Candidate
from cogitate.core.usage import ZERO, Usage

from .clean import one_line, safe_text

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult

    from cogitate.lab.curve import Curve
    from cogitate.recipes import Card


@dataclass(frozen=True)
class Grid:
    """A table of plain texts, safe to print whatever they hold.

    >>> Grid(("role", "tokens"), (("policy", "58"),)).rows
    (('policy', '58'),)
    """

    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""
    caption: str = ""
    right: frozenset[int] = frozenset()
    """Columns that hold numbers."""
    bold: frozenset[int] = frozenset()
    """Rows to stress."""
    wrap: frozenset[int] = frozenset()
    """Columns that may take several lines."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich import box
        from rich.table import Table

        plain = options.ascii_only
        table = Table(
            title=safe_text(self.title, "bold", ascii_only=plain) if self.title else None,
            caption=safe_text(self.caption, "dim", ascii_only=plain) if self.caption else None,
            box=box.ASCII2 if plain else box.SIMPLE_HEAD,
            title_justify="left",
            caption_justify="left",
            pad_edge=False,
        )
        widths = self._widths(options.max_width)
        for i, name in enumerate(self.head):
            table.add_column(
                safe_text(name, ascii_only=plain),
                justify="right" if i in self.right else "left",
                no_wrap=i not in self.wrap,
                min_width=widths[i] if i in self.right else None,
                max_width=None if i in self.right or self.wrap else widths[i],
                overflow="fold" if i in self.wrap else "ellipsis" if not plain else "crop",
            )
        for i, row in enumerate(self.rows):
            style = "bold" if i in self.bold else ""
            table.add_row(
                *(safe_text(cell, lines=True, ascii_only=plain) for cell in row), style=style
            )
        yield table

    def _widths(self, room: int) -> list[int]:
        """Widths at which numbers stay whole; texts share what is left, in proportion."""
        wanted = [_widest((self.head, *self.rows), i) for i in range(len(self.head))]
        left = room - _PADDING * len(wanted) - sum(wanted[i] for i in self.right)
        texts = sum(w for i, w in enumerate(wanted) if i not in self.right)
        if texts <= left:
            return wanted
        share = max(0.0, left / texts)
        return [w if i in self.right else max(4, int(w * share)) for i, w in enumerate(wanted)]


_PADDING = 3
"""Cells between two columns, about."""


def _widest(rows: Sequence[tuple[str, ...]], column: int) -> int:
    lines = [line for row in rows for line in row[column].splitlines()]
    return max(map(len, lines), default=0)


def share(value: float) -> str:
    """A share in percent, with one decimal.

    >>> share(0.165)
    '16.5%'
    """
    return f"{100 * value:.1f}%"


def count(value: float) -> str:
    """A number that people read: exact up to 9,999, then with a unit.

    >>> count(512), count(12_345), count(98_362_432), count(3.2e12)
    ('512', '12.3k', '98.4M', '3.2T')
    """
    if abs(value) < 10_000:
        return f"{value:.0f}"
    for size, unit in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def accuracy_table(curve: Curve) -> Grid:
    """Accuracy by N, one row a method, each with its interval."""
    sizes = [p.n for p in curve.lines[0].points]
    rows: list[tuple[str, ...]] = [
        (
            line.label,
            *(f"{share(p.value)}\n{100 * p.low:.0f}–{100 * p.high:.0f}" for p in line.points),
        )
        for line in curve.lines
    ]
    rows.append(("tokens a question", *(count(p.tokens) for p in curve.lines[0].points)))
    return Grid(
        head=("method", *(f"N={n}" for n in sizes)),
        rows=tuple(rows),
        caption=curve.note,
        right=frozenset(range(1, len(sizes) + 1)),
        wrap=frozenset({0}),
    )


def cost_lines(
    roles: Mapping[str, Usage], total: Usage | None = None, paid: Usage | None = None
) -> Grid:
    """What was charged, one row a role and one for all; one more where less was `paid`."""
    whole = sum(roles.values(), ZERO) if total is None else total
    used = sorted((role, u) for role, u in roles.items() if u != ZERO)
    alone = len(used) == 1 and used[0][1] == whole
    spent = used if alone else [*used, ("all", whole)]
    sums = () if alone else (len(spent) - 1,)
    kept = paid is not None and paid != whole
    if paid is not None and kept:
        spent = [*spent, ("of it paid", paid)]
        sums = (*sums, len(spent) - 1)
    columns: list[tuple[str, Callable[[Usage], str]]] = [
        ("calls", lambda u: count(u.calls)),
        ("tokens in", lambda u: count(u.tokens_in)),
        ("cached", lambda u: count(u.tokens_cached)),
        ("tokens out", lambda u: count(u.tokens_out)),
        ("seconds", lambda u: f"{u.seconds:.1f}"),
        ("FLOPs", lambda u: "unknown" if u.flops is None else count(u.flops)),
        ("money", lambda u: "unknown" if u.usd is None else f"${u.usd:.4f}"),
    ]
    always = {"calls", "tokens in", "tokens out"}
    shown = [
        (name, cell)
        for name, cell in columns
        if name in always or any(cell(u) != cell(ZERO) for _, u in spent)
    ]
    return Grid(
        head=("role", *(name for name, _ in shown)),
        rows=tuple((role, *(cell(u) for _, cell in shown)) for role, u in spent),
        caption=_remarks(whole, paid if kept else None),
        right=frozenset(range(1, len(shown) + 1)),
        bold=frozenset(sums),
    )


def _remarks(charged: Usage, paid: Usage | None) -> str:
    found = ["some of it is estimated"] if charged.estimated else []
    if paid is not None:
        kept = charged.calls - paid.calls
        found.append(
            f"{kept} of {charged.calls} replies were kept from earlier runs and cost nothing"
        )
    return "; ".join(found)


def candidate_table(
    items: Sequence[Candidate[Artifact]], at_most: int = 8, width: int = 48
) -> Grid:
    """The best candidates with score, answer and text."""
    rows = [
        (
            str(place),
            "" if c.value == float("-inf") else f"{c.value:.4g}",
            one_line(c.state.answer, 24) if c.state.answer is not None else "(none)",
            one_line(c.state.text, width),
        )
        for place, c in enumerate(items[:at_most], 1)
    ]
    more = len(items) - at_most
    return Grid(
        head=("", "score", "answer", "text"),
        rows=tuple(rows),
        caption=f"and {more} more" if more > 0 else "",
        right=frozenset({0, 1}),
        bold=frozenset({0}) if rows else frozenset(),
    )


def paper_table(papers: Sequence[tuple[Card, str]], *, wide: bool = False) -> Grid:
    """The papers with their status, one a row; with `wide` (120 columns and more) their titles too."""

    def last(paths: Sequence[str]) -> str:
        return ", ".join(p.rsplit("/", 1)[-1].replace("_", " ") for p in paths)

    rows = tuple(
        (
            c.id,
            c.title if wide else c.slug,
            *((c.recipe,) if wide else ()),
            last(c.tags.get("what", ())),
            last(
                [
                    p
                    for axis, paths in c.tags.items()
                    if axis not in ("what", "where")
                    for p in paths
                ]
            ),
            last(c.tags.get("where", ())),
            status,
        )
        for c, status in papers
    )
    head = ("", "paper", *(("recipe",) if wide else ()), "what", "how", "where", "status")
    return Grid(
        head=head, rows=rows, wrap=frozenset({1, 3, 4, 5}) if wide else frozenset({2, 3, 4})
    )
