"""Charts as SVG: curves with interval bands, points with whiskers, labels at the ends of the curves.

Colours are classes (`s0`…`s7`) that the page's style sheet gives meaning, for light and for dark.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from .axes import Axis
from .marking import clipped, escaped

COLOURS: Final = 8
"""Series beyond so many repeat the colours with another dash."""
_LINE: Final = 15.0
"""Least distance between labels."""
_TOP, _BOTTOM, _SIDE = 34.0, 46.0, 12.0
_LETTER: Final = 7.0
"""Width of a letter, on average and rounded up; fonts differ."""
_BOLD: Final = 8.0
_SHAPES: Final = (
    "m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0",
    "m-3.6 -3.6h7.2v7.2h-7.2z",
    "m0 -4.8l4.6 8.2h-9.2z",
    "m0 -5l5 5l-5 5l-5 -5z",
    "m0 4.8l4.6 -8.2h-9.2z",
)
_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Point:
    """A value with its interval, where there is one."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    told: str = ""
    """What is said of it when it is pointed at."""
    strong: bool = True
    """Whether it stands out; of scattered points those on the frontier do."""
    label: str = ""
    """Written beside it, where there is room."""


@dataclass(frozen=True, slots=True)
class Series:
    """One curve, or one group of points."""

    name: str
    points: tuple[Point, ...]
    slot: int
    """Which colour; the same name has the same colour in every chart of a report."""
    dashed: bool = False
    """For what is another quantity than the other curves, or a reference."""
    joined: bool = True
    """Whether the points are joined and their intervals a band."""
    banded: bool = True


@dataclass(frozen=True, slots=True)
class Chart:
    """Series over two axes."""

    id: str
    """Unique in the page."""
    title: str
    told: str
    """What it shows, in words, for those who cannot see it."""
    x: Axis
    y: Axis
    series: tuple[Series, ...]
    steps: tuple[tuple[float, float], ...] = ()
    """A frontier: points that steps lead over, from the cheapest on."""

    @property
    def joined(self) -> tuple[Series, ...]:
        """The curves; they have a label each."""
        return tuple(s for s in self.series if s.joined and s.points)

    def letter(self, index: int) -> str:
        """The letter that stands for a curve where there is no room for its name."""
        return _LETTERS[index] if index < len(_LETTERS) else str(index + 1)


def drawn(chart: Chart, width: int, height: int, *, letters: bool = False) -> str:
    """The chart as an `svg` element.

    Args:
        chart: what is drawn.
        width: of the drawing, in its own units; the page may scale it.
        height: likewise.
        letters: label the curves with letters; the names then stand below, where there is room.
    """
    frame = _framed(chart, width, height, letters=letters)
    kind = "small" if letters else "wide"
    title, desc = f"{chart.id}-{kind}-t", f"{chart.id}-{kind}-d"
    out = [
        f'<svg class="chart {kind}" viewBox="0 0 {width} {height}" role="img" tabindex="0" '
        f'aria-labelledby="{title} {desc}">',
        f'<title id="{title}">{escaped(chart.title)}</title>'
        f'<desc id="{desc}">{escaped(chart.told)}</desc>',
        *_axes(chart, frame, brief=letters),
    ]
    faint = " faint" if sum(s.banded for s in chart.series) > 4 else ""
    out += [_band(frame, s, faint) for s in chart.series if s.joined and s.banded]
    if chart.steps:
        out.append(_steps(frame, chart.steps))
    out += [part for s in chart.series for part in _lines(frame, s)]
    out += _labels(chart, frame, letters=letters)
    out += _beside(chart, frame, letters=letters)
    out.append("</svg>")
    return "\n".join(part for part in out if part)


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where the values lie on the drawing."""

    x: Axis
    y: Axis
    left: float
    right: float
    top: float
    bottom: float
    width: float
    room: float
    """For the labels, right of the plot."""

    def across(self, value: float) -> float:
        return self.left + self.x.place(value) * (self.right - self.left)

    def down(self, value: float) -> float:
        return self.bottom - self.y.place(value) * (self.bottom - self.top)


def _framed(chart: Chart, width: int, height: int, *, letters: bool) -> _Frame:
    left = _SIDE + max(_wide(text) for _, text in chart.y.ticks) + 8
    longest = max((_BOLD * len(s.name) for s in chart.joined), default=-22.0)
    room = 26.0 if letters and chart.joined else min(longest + 30, 0.36 * width)
    return _Frame(
        chart.x, chart.y, left, width - room - 4, _TOP, height - _BOTTOM, float(width), room
    )


def _axes(chart: Chart, frame: _Frame, *, brief: bool) -> Iterator[str]:
    """Grid, ticks, numbers and what the axes are."""
    across = (chart.x.brief if brief else "") or chart.x.label
    yield f'<text class="axis" x="{_SIDE:g}" y="16">{escaped(chart.y.label)}</text>'
    for value, text in chart.y.ticks:
        y = _n(frame.down(value))
        yield f'<path class="grid" d="M{_n(frame.left)} {y}H{_n(frame.right)}"/>'
        yield (
            f'<text class="tick" text-anchor="end" x="{_n(frame.left - 8)}" y="{y}" dy="4">{text}</text>'
        )
    floor = _n(frame.bottom)
    yield f'<path class="floor" d="M{_n(frame.left)} {floor}H{_n(frame.right)}"/>'
    for value in chart.x.minor:
        yield f'<path class="floor" d="M{_n(frame.across(value))} {floor}v3"/>'
    free = -math.inf
    for value, text in chart.x.ticks:
        x = frame.across(value)
        yield f'<path class="floor" d="M{_n(x)} {floor}v5"/>'
        half = _wide(text) / 2
        if x - half < free:
            continue
        free = x + half + 5
        yield (
            f'<text class="tick" text-anchor="middle" x="{_n(x)}" y="{_n(frame.bottom + 19)}">'
            f"{escaped(text)}</text>"
        )
    yield (
        f'<text class="axis" text-anchor="end" x="{_n(frame.right)}" y="{_n(frame.bottom + 39)}">'
        f"{escaped(across)}</text>"
    )


def _band(frame: _Frame, series: Series, faint: str) -> str:
    known = [p for p in series.points if p.low is not None and p.high is not None]
    if len(known) < 2:
        return ""
    above = [f"{_n(frame.across(p.x))} {_n(frame.down(p.high or 0.0))}" for p in known]
    below = [f"{_n(frame.across(p.x))} {_n(frame.down(p.low or 0.0))}" for p in reversed(known)]
    return (
        f'<path class="band {_colour(series)}{faint}" d="M{"L".join(above)}L{"L".join(below)}Z"/>'
    )


def _lines(frame: _Frame, series: Series) -> Iterator[str]:
    """The curve, whiskers where there is no band, and a mark at each point."""
    yield f'<g class="series {_colour(series)}" data-name="{escaped(series.name)}">'
    if series.joined:
        path = "L".join(f"{_n(frame.across(p.x))} {_n(frame.down(p.y))}" for p in series.points)
        dash = " dashed" if series.dashed else f" dash{series.slot // COLOURS % 3}"
        yield f'<path class="line{dash}" d="M{path}"/>'
    for point in series.points:
        x, y = frame.across(point.x), frame.down(point.y)
        single = not series.joined or len(series.points) < 2
        if single and point.low is not None and point.high is not None:
            weak = "" if point.strong else " weak"
            ends = f"M{_n(x)} {_n(frame.down(point.low))}V{_n(frame.down(point.high))}"
            yield f'<path class="whisker{weak}" d="{ends}"/>'
        yield _mark(series, point, x, y)
    yield "</g>"


def sample(series: Series) -> str:
    """The mark of a series alone, for a key."""
    return (
        '<svg class="sample" viewBox="0 0 14 14" width="14" height="14" aria-hidden="true">'
        f'<path class="mark" d="{_shape(series, 7, 7)}"/></svg>'
    )


def _shape(series: Series, x: float, y: float) -> str:
    return f"M{_n(x)} {_n(y)}{_SHAPES[series.slot % len(_SHAPES)]}"


def _mark(series: Series, point: Point, x: float, y: float) -> str:
    shape = _shape(series, x, y)
    weak = "" if point.strong else " weak"
    told = f' data-told="{escaped(point.told)}"' if point.told else ""
    return f'<path class="mark{weak}" d="{shape}" data-x="{_n(x)}" data-y="{_n(y)}"{told}/>'


def _labels(chart: Chart, frame: _Frame, *, letters: bool) -> Iterator[str]:
    """Names at the ends of the curves, moved apart where they would touch."""
    ends = [(i, s, s.points[-1]) for i, s in enumerate(chart.joined)]
    wanted = [frame.down(point.y) for _, _, point in ends]
    for (index, series, point), y in zip(
        ends, spread(wanted, _LINE, frame.top - 8, frame.bottom), strict=True
    ):
        end_x, end_y = frame.across(point.x), frame.down(point.y)
        at = frame.right + (8 if letters else 24)
        if abs(y - end_y) > 3 or end_x < frame.right - 1:
            yield (
                f'<path class="lead {_colour(series)}" d="M{_n(end_x + 6)} {_n(end_y)}'
                f'L{_n(max(at - 10, end_x + 7))} {_n(y)}H{_n(at - 3)}"/>'
            )
        most = int((frame.width - at - 2) / _BOLD)
        text = chart.letter(index) if letters else clipped(series.name, max(most, 6))
        yield (
            f'<text class="label {_colour(series)}" x="{_n(at)}" y="{_n(y)}" dy="4">'
            f"{escaped(text)}</text>"
        )


def _steps(frame: _Frame, steps: Sequence[tuple[float, float]]) -> str:
    """From point to point, first across and then up: until it pays for more, one stays at what one has."""
    x, y = steps[0]
    path = f"M{_n(frame.across(x))} {_n(frame.down(y))}"
    path += "".join(f"H{_n(frame.across(x))}V{_n(frame.down(y))}" for x, y in steps[1:])
    return f'<path class="steps" d="{path}H{_n(frame.right)}"/>'


def _beside(chart: Chart, frame: _Frame, *, letters: bool) -> Iterator[str]:
    """Labels of single points, above and left of them, as far as they do not touch each other."""
    marked = [(s, p) for s in chart.series for p in s.points if p.label]
    taken: list[tuple[float, float]] = []
    for series, point in sorted(marked, key=lambda m: (-m[1].y, m[1].x)):
        x, y = frame.across(point.x) - 7, frame.down(point.y) - 7
        start = x - _BOLD * len(point.label)
        if letters or start < frame.left:
            continue
        if any(abs(y - row) < _LINE and start < end for row, end in taken):
            continue
        taken.append((y, x))
        yield (
            f'<text class="label halo {_colour(series)}" text-anchor="end" x="{_n(x)}" y="{_n(y)}">'
            f"{escaped(point.label)}</text>"
        )


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Places as near as possible to those wanted (by squares) with at least `gap` between neighbours.

    >>> spread([10.0, 11.0, 40.0], 10, 0, 100)
    [5.5, 15.5, 40.0]
    """
    if not wanted:
        return []
    gap = min(gap, (high - low) / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda i: (wanted[i], i))
    blocks: list[tuple[float, int]] = []
    for rank, index in enumerate(order):
        total, count = wanted[index] - rank * gap, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / count:
            above, size = blocks.pop()
            total, count = total + above, count + size
        blocks.append((total, count))
    top = high - (len(wanted) - 1) * gap
    flat = [min(max(total / count, low), top) for total, count in blocks for _ in range(count)]
    places = [0.0] * len(wanted)
    for rank, index in enumerate(order):
        places[index] = flat[rank] + rank * gap
    return places


def _colour(series: Series) -> str:
    return f"s{series.slot % COLOURS}"


def _wide(text: str) -> float:
    return _LETTER * len(text)


def _n(value: float) -> str:
    """A coordinate with a tenth of a unit."""
    return f"{value:.1f}".removesuffix(".0")
