"""Charts of what a run found: accuracy against N and against every cost, coverage, frontiers, differences."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cogitate.bench.metrics.values import Accuracy, Coverage, Curve
from cogitate.bench.metrics.values import Point as At
from cogitate.rules.frontier import pareto

from .axes import Axis, amount, costs, counts, shares
from .chart import Chart, Point, Series
from .elements import Entry, Row, Table, View
from .naming import several

UNITS: Final = {
    "n": ("samples", "samples or width a question (N)"),
    "tokens": ("tokens", "prompt and generated tokens a question, all roles"),
    "tokens_out": ("tokens out", "generated tokens a question, all roles"),
    "tokens_in": ("tokens in", "prompt tokens a question, all roles"),
    "calls": ("calls", "calls a question"),
    "flops": ("FLOPs", "FLOPs a question"),
    "bytes_moved": ("bytes", "bytes moved a question"),
    "kv_bytes": ("KV bytes", "bytes of KV cache a question"),
    "usd": ("dollars", "US dollars a question"),
}
"""Unit to its short and its long name; seconds are told with the timing, apart."""
_MOST: Final = 12
"""Curves in one chart."""


@dataclass
class Slots:
    """Which colour a line has: the same in every chart of a report."""

    # Mutable on purpose: a line gets the next colour when it is first drawn.
    taken: dict[str, int] = field(default_factory=dict[str, int])

    def of(self, name: str) -> int:
        """The line's slot."""
        return self.taken.setdefault(name, len(self.taken))


def percent(value: float, digits: int = 1) -> str:
    """A share in percent, without the sign of percent.

    >>> percent(0.5125), percent(-0.03)
    ('51.2', '\u22123.0')
    """
    if not math.isfinite(value):
        return "–"
    return f"{100 * value:.{digits}f}".replace("-", "\u2212")


def interval(value: Any, digits: int = 1) -> str:
    """The interval of a share, in percent."""
    return f"[{percent(value.low, digits)}, {percent(value.high, digits)}]"


def in_unit(value: float, unit: str) -> str:
    """An amount of a unit, short."""
    return amount(value, dollars=unit == "usd")


def curve_view(
    id: str,
    curves: Sequence[Curve[Accuracy]] | Sequence[Curve[Coverage]],
    slots: Slots,
) -> View | None:
    """Curves over one unit, all of one kind and unit; `None` where there is nothing to draw."""
    known = [c for c in curves if any(_is_shown(p, c.unit) for p in c.points)]
    if not known:
        return None
    shown = known[:_MOST]
    unit, kind = shown[0].unit, shown[0].kind
    if any((c.unit, c.kind) != (unit, kind) for c in known):
        raise TypeError("curves over several units, or of accuracy and of coverage, share no chart")
    points = [p for c in shown for p in c.points if _is_shown(p, unit)]
    what = (
        "accuracy of the selected answer, %"
        if kind == "accuracy"
        else "coverage (any of N right), %"
    )
    short, long = UNITS.get(unit, (unit, f"{unit} a question"))
    y = shares([v for p in points for v in (p.value.estimate, p.value.low, p.value.high)], what)
    chart = Chart(
        id,
        f"{kind.capitalize()} against {short}",
        _told(shown, what, long),
        _axis([p.x for p in points], unit, long),
        y,
        tuple(_series(c, slots, dashed=kind == "coverage") for c in shown),
    )
    return View(
        "N" if unit == "n" else short, chart, _data(known, kind, unit), _left(known[_MOST:])
    )


def _left(curves: Sequence[Curve[Any]]) -> str:
    if not curves:
        return ""
    return (
        f"{several(len(curves), 'more curve')} would not be told apart and {'is' if len(curves) == 1 else 'are'} not "
        "drawn; their numbers stand below."
    )


def _axis(values: Sequence[float], unit: str, label: str) -> Axis:
    if unit == "n":
        return counts(values, label)
    made = costs(values, f"{label} (log scale)", dollars=unit == "usd")
    return replace(made, brief=f"{UNITS.get(unit, (unit, ''))[0]} a question (log scale)")


def _is_shown(point: At[Any], unit: str) -> bool:
    del unit
    return math.isfinite(point.x) and point.x > 0 and math.isfinite(point.value.estimate)


def _series(curve: Curve[Any], slots: Slots, *, dashed: bool) -> Series:
    points = tuple(
        Point(
            p.x,
            p.value.estimate,
            p.value.low,
            p.value.high,
            f"{_at(curve.unit, p)}\n{percent(p.value.estimate)} % {interval(p.value)}\n"
            f"{p.value.n:,} questions",
        )
        for p in curve.points
        if _is_shown(p, curve.unit)
    )
    return Series(curve.line, points, slots.of(curve.line), dashed=dashed)


def _short(curve: Curve[Any], point: At[Any], sizes: Mapping[str, int | None]) -> str:
    size = sizes.get(point.label)
    return curve.line if size is None else f"{curve.line} {size}"


def _at(unit: str, point: At[Any]) -> str:
    if unit == "n":
        return f"N = {point.x:g}"
    about = "about " if point.estimated else ""
    return f"{about}{in_unit(point.x, unit)} {UNITS.get(unit, (unit, ''))[0]}"


def _told(curves: Sequence[Curve[Any]], what: str, over: str) -> str:
    ends = "; ".join(
        f"{c.line}: from {percent(c.points[0].value.estimate)} to {percent(c.points[-1].value.estimate)} %"
        for c in curves
        if c.points
    )
    return (
        f"Curves of {what.removesuffix(', %')} over {over}, with intervals as bands. {ends}. "
        "The arrow keys go from point to point."
    )


def _data(curves: Sequence[Curve[Any]], kind: str, unit: str) -> Table:
    rows: list[Row] = []
    for curve in curves:
        rows.append(Row((curve.line,)))
        for p in curve.points:
            about = "≈ " if p.estimated else ""
            x = f"{p.x:g}" if unit == "n" else about + in_unit(p.x, unit)
            rows.append(
                Row(
                    (
                        x,
                        Entry(percent(p.value.estimate), interval(p.value)),
                        f"{p.value.n:,}",
                        p.label,
                    )
                )
            )
    short = "N" if unit == "n" else UNITS.get(unit, (unit, ""))[0]
    head = (short, f"{kind}, % [interval]", "questions", "strategy")
    return Table(f"{kind.capitalize()} against {short}", head, tuple(rows), frozenset({0, 1, 2}))


def frontier_view(
    id: str, curves: Sequence[Curve[Accuracy]], slots: Slots, sizes: Mapping[str, int | None]
) -> View | None:
    """All cells over one cost, those on the frontier filled and joined by steps.

    Args:
        id: unique in the page.
        curves: every line over this cost.
        slots: the colours.
        sizes: strategy to its N, for the labels.
    """
    points = [(c, p) for c in curves for p in c.points if _is_shown(p, c.unit)]
    if len(points) < 2:
        return None
    unit = points[0][0].unit
    best = pareto([p.x for _, p in points], [p.value.estimate for _, p in points])
    held = set(best)
    short, long = UNITS.get(unit, (unit, f"{unit} a question"))
    series: dict[str, list[Point]] = {}
    for i, (curve, p) in enumerate(points):
        told = f"{p.label}\n{_at(unit, p)}\n{percent(p.value.estimate)} % {interval(p.value)}"
        series.setdefault(curve.line, []).append(
            Point(
                p.x,
                p.value.estimate,
                p.value.low,
                p.value.high,
                told,
                i in held,
                _short(curve, p, sizes) if i in held else "",
            )
        )
    values = [v for _, p in points for v in (p.value.estimate, p.value.low, p.value.high)]
    chart = Chart(
        id,
        f"Frontier of accuracy over {short}",
        f"Every cell by its accuracy and its {long}. On the frontier, where no other cell costs less and is "
        f"at least as accurate: {'; '.join(points[i][1].label for i in best)}.",
        _axis([p.x for _, p in points], unit, long),
        shares(values, "accuracy of the selected answer, %"),
        tuple(Series(n, tuple(ps), slots.of(n), joined=False) for n, ps in series.items()),
        tuple((points[i][1].x, points[i][1].value.estimate) for i in best),
    )
    rows = tuple(
        Row(
            (
                points[i][1].label or points[i][0].line,
                in_unit(points[i][1].x, unit),
                Entry(percent(points[i][1].value.estimate), interval(points[i][1].value)),
            )
        )
        for i in best
    )
    table = Table(
        f"Cells on the frontier over {short}: no other is as accurate for less",
        ("strategy", short, "accuracy, % [interval]"),
        rows,
        frozenset({1, 2}),
    )
    return View(short, chart, table)
