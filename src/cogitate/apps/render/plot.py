"""A line plot for the terminal: braille curves, markers, interval bands, a legend.

It needs 40 columns and is made for 80. On a terminal without Unicode it falls back to ASCII.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

from .clean import cleaned, in_ascii

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.text import Text

    from cogitate.lab.curve import Curve

_COLOURS = ("green", "cyan", "yellow", "magenta", "blue", "red", "white")
_MARKERS = ("●", "■", "▲", "◆", "○", "□", "△")
_ASCII_MARKERS = "ox*+#@%"
_LEAST_WIDTH, _LEAST_HEIGHT = 40, 6
_SIDE = 3
# dots of a braille cell, by row and column
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))


@dataclass(frozen=True, slots=True)
class PlotPoint:
    """A point with its interval, where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """One curve."""

    name: str
    points: tuple[PlotPoint, ...]


@dataclass(frozen=True)
class Plot:
    """Curves over a common axis; print it with rich, or take its `lines`.

    >>> rise = Series("rise", tuple(PlotPoint(x, x / 8) for x in (1, 2, 4, 8)))
    >>> Plot((rise,), width=40, height=6).lines(ascii_only=True)[-1]
    '  o rise'
    """

    series: tuple[Series, ...]
    title: str = ""
    x_label: str = ""
    y_label: str = ""
    width: int = 80
    height: int = 16
    log_x: bool = True
    percent: bool = True
    """Whether y is a share, to be shown in percent."""
    bands: tuple[str, ...] | None = None
    """Names of the series whose interval is shaded; the others get error bars. `None`: with up to two
    series all, else none."""

    def lines(self, *, ascii_only: bool = False, width: int | None = None) -> list[str]:
        """The plot as plain lines."""
        return [
            "".join(c.text for c in row).rstrip()
            for row in self._rows(ascii_only, width or self.width)
        ]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        for row in self._rows(options.ascii_only, min(self.width, options.max_width)):
            line: Text = Text(no_wrap=True, overflow="crop")
            for cell in row:
                line.append(cell.text, cell.style)
            yield line

    def _rows(self, ascii_only: bool, width: int) -> Iterator[list[_Cell]]:
        frame = _framed(self, max(width, _LEAST_WIDTH), max(self.height, _LEAST_HEIGHT))
        if self.title:
            yield [_Cell(_word(self.title, ascii_only), "bold")]
        if frame is None:
            yield [_Cell("(nothing to plot)", "dim")]
            return
        if self.y_label:
            yield [_Cell(_word(self.y_label, ascii_only), "dim")]
        canvas = _Canvas(frame.columns, frame.rows, ascii_only)
        shaded = self._shaded()
        for index, series in enumerate(self.series):
            _draw_interval(canvas, frame, series, index, len(self.series), shaded)
        for index, series in enumerate(self.series):
            _draw_line(canvas, frame, series, index)
        for index, series in enumerate(self.series):
            _draw_markers(canvas, frame, series, index)
        yield from _with_axes(self, frame, canvas, ascii_only)
        yield from _legend(self.series, width, ascii_only)

    def _shaded(self) -> frozenset[str]:
        if self.bands is not None:
            return frozenset(self.bands)
        return frozenset(s.name for s in self.series) if len(self.series) <= 2 else frozenset()


def accuracy_plot(
    curve: Curve,
    methods: Sequence[str] = ("single", "majority", "best_mean", "coverage"),
    *,
    width: int = 80,
    height: int = 16,
) -> Plot:
    """Accuracy against N, for the methods among these that the curve has."""
    lines = [line for name in methods for line in curve.lines if line.method == name]
    series = tuple(
        Series(line.label, tuple(PlotPoint(p.n, p.value, p.low, p.high) for p in line.points))
        for line in lines
    )
    return Plot(
        series, x_label="samples a question", y_label="accuracy", width=width, height=height
    )


@dataclass(frozen=True, slots=True)
class _Cell:
    text: str
    style: str = ""


@dataclass(frozen=True)
class _Frame:
    """Where the values lie on the canvas."""

    columns: int
    rows: int
    left: float
    right: float
    bottom: float
    top: float
    log_x: bool
    ticks: tuple[float, ...]
    margin: int

    def column(self, x: float) -> float:
        """Column of a value, as a fraction of a cell; on each side there is room for error bars."""
        span = self._scaled(self.right) - self._scaled(self.left)
        share = (self._scaled(x) - self._scaled(self.left)) / span if span else 0.5
        return _SIDE + share * (self.columns - 1 - 2 * _SIDE)

    def row(self, y: float) -> float:
        """Row of a value, as a fraction of a cell from the top."""
        share = (min(max(y, self.bottom), self.top) - self.bottom) / (self.top - self.bottom)
        return (1 - share) * (self.rows - 1)

    def _scaled(self, x: float) -> float:
        return math.log2(x) if self.log_x else x


@dataclass
class _Canvas:
    """A grid of cells, each a character with a style; curves are drawn in dots of a braille cell."""

    # Mutable on purpose: a canvas is painted on, layer over layer.
    columns: int
    rows: int
    ascii_only: bool
    cells: dict[tuple[int, int], _Cell] = field(default_factory=dict[tuple[int, int], _Cell])
    dots: dict[tuple[int, int], int] = field(default_factory=dict[tuple[int, int], int])

    def put(self, row: int, column: int, text: str, style: str, *, over: bool = True) -> None:
        if not (0 <= row < self.rows and 0 <= column < self.columns):
            return
        if over or (row, column) not in self.cells:
            self.cells[row, column] = _Cell(text, style)
            self.dots.pop((row, column), None)

    def dot(self, row: float, column: float, style: str) -> None:
        r, c = math.floor(row + 0.5), math.floor(column + 0.5)
        if not (0 <= r < self.rows and 0 <= c < self.columns):
            return
        if self.ascii_only:
            self.cells[r, c] = _Cell(".", style)
            return
        down = min(3, int((row + 0.5 - r) * 4))
        across = min(1, int((column + 0.5 - c) * 2))
        mask = self.dots.get((r, c), 0) | _DOTS[down][across]
        self.dots[r, c] = mask
        self.cells[r, c] = _Cell(chr(0x2800 + mask), style)


def _framed(plot: Plot, width: int, height: int) -> _Frame | None:
    points = [p for s in plot.series for p in s.points if _is_shown(p, plot.log_x)]
    if not points:
        return None
    ys = [v for p in points for v in (p.y, p.low, p.high) if v is not None and math.isfinite(v)]
    bottom, top, ticks = _y_axis(min(ys), max(ys), plot.percent)
    margin = max(len(_number(t, plot.percent)) for t in ticks) + 1
    xs = [p.x for p in points]
    return _Frame(
        columns=width - margin - 2,
        rows=height,
        left=min(xs),
        right=max(xs),
        bottom=bottom,
        top=top,
        log_x=plot.log_x,
        ticks=ticks,
        margin=max(margin, 4),
    )


def _is_shown(point: PlotPoint, log_x: bool) -> bool:
    return math.isfinite(point.y) and math.isfinite(point.x) and (point.x > 0 or not log_x)


def _y_axis(low: float, high: float, percent: bool) -> tuple[float, float, tuple[float, ...]]:
    """Round limits that hold all values, and about five ticks."""
    bottom = min(0.0, low)
    span = max(high, bottom) - bottom or 1.0
    step = 10.0 ** math.floor(math.log10(span / 4))
    step *= next(f for f in (1, 2, 2.5, 5, 10) if f * step * 5 >= span)
    first, last = math.floor(bottom / step + 1e-9), math.ceil(high / step - 1e-9)
    last = max(last, first + 1)
    top = min(last * step, 1.0) if percent and high <= 1.0 else last * step
    return (
        first * step,
        top,
        tuple(i * step for i in range(first, last + 1) if i * step <= top + 1e-9),
    )


def _number(value: float, percent: bool) -> str:
    return f"{100 * value:.3g}%" if percent else f"{value:.4g}"


def _draw_interval(
    canvas: _Canvas, frame: _Frame, series: Series, index: int, count: int, shaded: frozenset[str]
) -> None:
    style = f"dim {_COLOURS[index % len(_COLOURS)]}"
    known = [p for p in series.points if p.low is not None and p.high is not None]
    known = [p for p in known if _is_shown(p, frame.log_x)]
    if series.name in shaded:
        _shade(canvas, frame, known, style)
        return
    for point in known:
        # side by side, so that the bars of different curves stay apart
        column = round(frame.column(point.x)) + index - count // 2
        column = min(max(column, 0), frame.columns - 1)
        top, bottom = round(frame.row(point.high or 0.0)), round(frame.row(point.low or 0.0))
        for row in range(top, bottom + 1):
            canvas.put(row, column, "|" if canvas.ascii_only else "│", style, over=False)


def _shade(canvas: _Canvas, frame: _Frame, points: Sequence[PlotPoint], style: str) -> None:
    mark = ":" if canvas.ascii_only else "░"
    for column in range(frame.columns):
        edges = _between(frame, points, column)
        if edges is not None:
            for row in range(round(edges[0]), round(edges[1]) + 1):
                canvas.put(row, column, mark, style, over=False)


def _between(frame: _Frame, points: Sequence[PlotPoint], column: int) -> tuple[float, float] | None:
    """Rows of the upper and lower edge of the band in this column."""
    for a, b in pairwise(points):
        start, end = frame.column(a.x), frame.column(b.x)
        if start - 0.5 <= column <= end + 0.5:
            share = min(max((column - start) / (end - start), 0.0), 1.0) if end > start else 0.0
            rows = [
                frame.row(first or 0.0) * (1 - share) + frame.row(second or 0.0) * share
                for first, second in ((a.high, b.high), (a.low, b.low))
            ]
            return rows[0], rows[1]
    return None


def _draw_line(canvas: _Canvas, frame: _Frame, series: Series, index: int) -> None:
    style = _COLOURS[index % len(_COLOURS)]
    shown = [p for p in series.points if _is_shown(p, frame.log_x)]
    for a, b in pairwise(shown):
        x0, y0 = frame.column(a.x), frame.row(a.y)
        x1, y1 = frame.column(b.x), frame.row(b.y)
        steps = max(1, math.ceil(max(abs(x1 - x0) * 2, abs(y1 - y0) * 4)))
        for i in range(steps + 1):
            share = i / steps
            canvas.dot(y0 + (y1 - y0) * share, x0 + (x1 - x0) * share, style)


def _draw_markers(canvas: _Canvas, frame: _Frame, series: Series, index: int) -> None:
    marker = _marker(index, canvas.ascii_only)
    style = f"bold {_COLOURS[index % len(_COLOURS)]}"
    for point in series.points:
        if _is_shown(point, frame.log_x):
            canvas.put(round(frame.row(point.y)), round(frame.column(point.x)), marker, style)


def _marker(index: int, ascii_only: bool) -> str:
    markers = _ASCII_MARKERS if ascii_only else _MARKERS
    return markers[index % len(markers)]


def _with_axes(
    plot: Plot, frame: _Frame, canvas: _Canvas, ascii_only: bool
) -> Iterator[list[_Cell]]:
    labels = {round(frame.row(t)): _number(t, plot.percent) for t in frame.ticks}
    side, tick, corner, floor = ("|", "+", "+", "-") if ascii_only else ("│", "┤", "└", "─")
    for row in range(frame.rows):
        label = labels.get(row, "")
        edge = tick if label else side
        cells = [canvas.cells.get((row, c), _Cell(" ")) for c in range(frame.columns)]
        yield [_Cell(f"{label:>{frame.margin}} "), _Cell(edge, "dim"), *cells]
    yield [_Cell(" " * (frame.margin + 1)), _Cell(corner + floor * frame.columns, "dim")]
    yield [_Cell(" " * (frame.margin + 2) + _x_labels(plot, frame))]
    if plot.x_label:
        label = _word(plot.x_label, ascii_only)
        yield [_Cell(" " * (frame.margin + 2) + label.center(frame.columns), "dim")]


def _x_labels(plot: Plot, frame: _Frame) -> str:
    line = [" "] * frame.columns
    xs = sorted({p.x for s in plot.series for p in s.points if _is_shown(p, plot.log_x)})
    free = 0
    for x in xs:
        label = f"{x:.4g}"
        start = round(frame.column(x)) - len(label) // 2
        start = min(max(start, 0), len(line) - len(label))
        if start >= free:
            line[start : start + len(label)] = label
            free = start + len(label) + 1
    return "".join(line)


def _legend(series: Sequence[Series], width: int, ascii_only: bool) -> Iterator[list[_Cell]]:
    row: list[_Cell] = []
    used = 0
    for index, one in enumerate(series):
        name = f"{_marker(index, ascii_only)} {_word(one.name, ascii_only)}"
        if used and used + len(name) + 2 > width:
            yield row
            row, used = [], 0
        row.append(_Cell(f"  {name}", _COLOURS[index % len(_COLOURS)]))
        used += len(name) + 2
    yield row


def _word(text: str, ascii_only: bool) -> str:
    shown = cleaned(text, limit=200)
    return in_ascii(shown) if ascii_only else shown
