"""What a report says of a pool: every way of choosing from the same samples, and what none can reach."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from cogitate.bench.metrics.costs import COST_UNITS
from cogitate.bench.metrics.values import Difference, Value
from cogitate.bench.selection import SelectionLine, SelectionTable

from .blocks import Block, Charts, Heading, Words
from .elements import Entry, Row, Table
from .figures import Slots, curve_view, interval, percent
from .naming import several

_NAMES = {"random": "random pick", "majority": "majority", "coverage": "any of N (oracle)"}


def pool_blocks(place: int, found: SelectionTable) -> Iterator[Block]:
    """Curves and tables of one pool."""
    slots = Slots()
    yield Heading(2, f"Selection: {found.task}, {found.model}", f"pool-{place}")
    yield Words(
        f"{several(found.questions, 'question')} with {several(found.samples, 'sample')} each, drawn once by "
        f"{found.process or 'the process'}, seed {found.seed}. Every number is a mean over subsets of the samples, and "
        f"not over the first N. {percent(found.abstained)} % of the samples have no answer; "
        f"{percent(found.truncated)} % were cut.",
        "note",
    )
    views = [
        view
        for unit in ("n", *COST_UNITS)
        if (
            view := curve_view(
                f"p{place}-{unit}",
                [replace(c, line=_NAMES.get(c.line, c.line)) for c in found.curves(unit)],
                slots,
            )
        )
    ]
    if views:
        yield Charts(f"pool-axis-{place}", "Accuracy against", tuple(views))
    yield _selection(found)
    yield from _gains(found)
    curve = found.coverage_curve()
    view = curve_view(f"pc{place}", [replace(curve, line=_NAMES["coverage"])], slots)
    if view is not None:
        yield Heading(3, "Coverage, which is not accuracy")
        yield Charts(f"pool-coverage-{place}", "Coverage against", (view,))


def _selection(found: SelectionTable) -> Table:
    lines = [Row((_name(line), *(_value(line, n) for n in found.sizes))) for line in found.lines]
    oracle = Row((_name(found.coverage), *(_value(found.coverage, n) for n in found.sizes)))
    head = ("way of choosing", *(f"N = {n}" for n in found.sizes))
    return Table(
        "Accuracy in % by way of choosing and N, with 95 % intervals over questions; the coverage (pass@N) below it "
        "is another quantity",
        head,
        (*lines, Row(("Coverage: what a perfect choice would reach",)), oracle),
        frozenset(range(1, len(head))),
    )


def _name(line: SelectionLine[Any]) -> str:
    return _NAMES.get(line.name, line.name)


def _value(line: SelectionLine[Any], n: int) -> Entry:
    held = next((p.value for p in line.points if p.x == n), None)
    return Entry("–") if held is None else Entry(percent(held.estimate), interval(held))


def _gains(found: SelectionTable) -> Iterator[Block]:
    rows: list[Row] = []
    for line in found.lines:
        if not line.gains or line.method == "random":
            continue
        gain = line.gains[-1]
        rows.append(
            Row(
                (
                    _name(line),
                    str(gain.n),
                    _points(gain.total),
                    _points(gain.covered),
                    _points(gain.lost),
                    _points(gain.answering),
                    _against(line.against_random),
                    _against(line.against_majority),
                )
            )
        )
    if rows:
        yield Heading(3, "Where the gain comes from")
        yield Table(
            "Percentage points at the largest N. Gain over one sample = covered - lost; answering is what picking at "
            "random among the samples that have an answer gains. The last columns are paired differences with their p "
            "value.",
            ("way of choosing", "N", "gain", "covered", "lost", "answering", "against one sample", "against majority"),
            tuple(rows),
            frozenset({1, 2, 3, 4, 5, 6, 7}),
        )  # fmt: skip


def _points(value: Value) -> Entry:
    sign = "+" if value.estimate > 0 else ""
    return Entry(f"{sign}{percent(value.estimate)}", interval(value))


def _against(found: Difference | None) -> Entry:
    if found is None:
        return Entry("")
    sign = "+" if found.estimate > 0 else ""
    p = "p < 0.001" if found.p < 0.001 else f"p = {found.p:.3f}"
    real = not found.low <= 0 <= found.high and found.p < 0.05
    tone = ("good" if found.estimate > 0 else "bad") if real else ""
    return Entry(f"{sign}{percent(found.estimate)}", f"{interval(found)}, {p}", tone)


def headline(found: Sequence[SelectionTable]) -> Iterator[tuple[str, str]]:
    """The best way of choosing from each pool, in a sentence, with the task."""
    for table in found:
        n = table.sizes[-1]
        best = max(table.lines, key=lambda line: line.at(n).estimate)
        value, cover = best.at(n), table.coverage.at(n)
        yield (
            table.task,
            f"Of {table.samples} samples of {table.model}, the way of choosing that is best in hindsight, {_name(best)}, is right on "
            f"{percent(value.estimate)} % {interval(value)}; any of them is on {percent(cover.estimate)} % "
            f"{interval(cover)} (coverage, which no one can choose by).",
        )
