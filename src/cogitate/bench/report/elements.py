"""Tables and figures, once as values and then as HTML or Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .chart import COLOURS, Chart, drawn, sample
from .marking import escaped, in_markdown

WIDE: Final = (880, 420)
SMALL: Final = (360, 330)
"""Drawn anew and not scaled down, so that its letters keep their size."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands in a cell of a table."""

    text: str
    note: str = ""
    """Smaller, behind it: an interval."""
    tone: str = ""
    """`good`, `bad` or `top`."""
    link: str = ""
    """A place in the page; of no use in Markdown."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row; one with a single entry is a heading over those below it."""

    entries: tuple[Entry | str, ...]
    why: str = ""
    """What a script may sift the rows by."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a caption."""

    caption: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    right: frozenset[int] = frozenset()
    """Columns of numbers."""
    wrapped: frozenset[int] = frozenset()
    """Columns of long texts."""
    id: str = ""

    def html(self) -> Iterator[str]:
        """As HTML; it scrolls inside its own box where it is too wide."""
        named = f' id="{self.id}"' if self.id else ""
        # Not a caption element: that would scroll out of sight with the table.
        yield f'<p class="caption">{escaped(self.caption)}</p>'
        yield (
            f'<div class="scroll" tabindex="0" role="region" aria-label="{escaped(self.caption)}">'
            f"<table{named}>"
        )
        cells = "".join(
            f'<th scope="col"{self._class(i)}>{escaped(name)}</th>'
            for i, name in enumerate(self.head)
        )
        yield f"<thead><tr>{cells}</tr></thead><tbody>"
        for row in self.rows:
            yield self._row(row)
        yield "</tbody></table></div>"

    def markdown(self) -> Iterator[str]:
        """As a Markdown table, headings over rows as rows of their own."""
        yield f"*{in_markdown(self.caption)}*"
        yield ""
        yield _piped([in_markdown(name) for name in self.head])
        yield _piped(["---:" if i in self.right else "---" for i in range(len(self.head))])
        for row in self.rows:
            entries = [_entry(e) for e in row.entries]
            if len(entries) == 1:
                yield _piped([f"**{in_markdown(entries[0].text)}**", *[""] * (len(self.head) - 1)])
                continue
            yield _piped([_in_markdown(e) for e in entries])
        yield ""

    def _row(self, row: Row) -> str:
        entries = [_entry(e) for e in row.entries]
        if len(entries) == 1:
            return (
                f'<tr class="group"><th scope="colgroup" colspan="{len(self.head)}">'
                f"<span>{escaped(entries[0].text)}</span></th></tr>"
            )
        cells = [
            f'<th scope="row"{self._class(0)}>{_in_html(entries[0])}</th>',
            *(
                f"<td{self._class(i, e.tone)}>{_in_html(e)}</td>"
                for i, e in enumerate(entries[1:], start=1)
            ),
        ]
        why = f' data-why="{escaped(row.why)}"' if row.why else ""
        return f"<tr{why}>{''.join(cells)}</tr>"

    def _class(self, column: int, tone: str = "") -> str:
        names = [
            name
            for name, is_so in (
                ("r", column in self.right),
                ("wrap", column in self.wrapped),
                (tone, bool(tone)),
            )
            if is_so
        ]
        return f' class="{" ".join(names)}"' if names else ""


@dataclass(frozen=True, slots=True)
class View:
    """A chart with its data as a table, and the name under which it is chosen."""

    name: str
    chart: Chart
    data: Table
    note: str = ""
    """What is not drawn."""


def charts_html(id: str, legend: str, views: Sequence[View]) -> Iterator[str]:
    """Charts of which one is shown, chosen by buttons; a single one stands alone."""
    if len(views) == 1:
        yield from _figure(views[0])
        return
    yield f'<fieldset class="views"><legend>{escaped(legend)}</legend>'
    for i, view in enumerate(views):
        checked = " checked" if i == 0 else ""
        yield (
            f'<input type="radio" name="{id}" id="{id}-{i}"{checked}>'
            f'<label for="{id}-{i}">{escaped(view.name)}</label>'
        )
    for view in views:
        yield '<div class="view">'
        yield from _figure(view)
        yield "</div>"
    yield "</fieldset>"


def _figure(view: View) -> Iterator[str]:
    yield '<figure class="plot">'
    yield drawn(view.chart, *WIDE)
    yield drawn(view.chart, *SMALL, letters=True)
    yield "</figure>"
    yield from _key(view.chart)
    if view.note:
        yield f'<p class="note">{escaped(view.note)}</p>'
    yield "<details><summary>The numbers of this chart</summary>"
    yield from view.data.html()
    yield "</details>"


def _key(chart: Chart) -> Iterator[str]:
    """What the letters of a small chart mean; of scattered points, what the marks mean."""
    scattered = not chart.joined
    yield f'<ul class="key{" always" if scattered else ""}">'
    for i, series in enumerate(chart.series if scattered else chart.joined):
        colour, name = f"s{series.slot % COLOURS}", escaped(series.name)
        sign = sample(series) if scattered else f"<b>{chart.letter(i)}</b>"
        yield f'<li class="{colour}">{sign} {name}</li>'
    yield "</ul>"


def _entry(entry: Entry | str) -> Entry:
    return Entry(entry) if isinstance(entry, str) else entry


def _in_html(entry: Entry) -> str:
    text = escaped(entry.text)
    if entry.link:
        text = f'<a href="{escaped(entry.link)}">{text}</a>'
    return f"{text} <small>{escaped(entry.note)}</small>" if entry.note else text


def _in_markdown(entry: Entry) -> str:
    text = in_markdown(entry.text)
    text = f"**{text}**" if entry.tone == "top" and text else text
    return f"{text} {in_markdown(entry.note)}" if entry.note else text


def _piped(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
