"""What a report says of a task: curves, frontiers, tables and differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cogitate.bench.metrics.cells import Row
from cogitate.bench.metrics.cells import Table as Found
from cogitate.bench.metrics.costs import COST_UNITS
from cogitate.bench.metrics.curves import coverage_curves, curves
from cogitate.bench.metrics.values import Curve

from . import elements
from .blocks import Block, Charts, Heading, Words
from .comparisons import Compared
from .elements import Entry, Table
from .figures import Slots, curve_view, frontier_view, in_unit, interval, percent
from .naming import bounds, listed, several

_BOUNDARY: Final = (
    "Bands and brackets are 95 % intervals over questions. Where bands overlap, look at the paired differences: the "
    "same questions were asked everywhere, so that a difference can be real though the bands touch."
)


@dataclass
class Naming:
    """How lines are called and coloured, the same in all of a report."""

    # Mutable on purpose: colours are given as lines are first drawn.
    names: Mapping[str, str]
    slots: Slots = field(default_factory=Slots)

    def of(self, row: Row) -> str:
        """The line of a row."""
        return self.names.get(row.line or row.strategy, row.line or row.strategy)


def task_blocks(
    task: str, place: int, table: Found, found: Sequence[Compared], naming: Naming
) -> Iterator[Block]:
    """Everything about one task."""
    rows = table.of(task)
    yield Heading(2, f"Accuracy: {task}", f"task-{place}")
    yield Words(_asked(rows), "note")
    shown = [_renamed(c, rows, naming) for unit in ("n", *COST_UNITS) for c in curves(rows, unit)]
    views = [
        view
        for unit in ("n", *COST_UNITS)
        if (
            view := curve_view(
                f"a{place}-{unit}", [c for c in shown if c.unit == unit], naming.slots
            )
        )
    ]
    if views:
        yield Charts(f"axis-{place}", "Accuracy against", tuple(views))
        yield Words(_BOUNDARY, "note")
        bare = list(dict.fromkeys(naming.of(r) for r in rows if r.n is None))
        if bare:
            yield Words(f"Without an N, and so on the other axes only: {listed(bare, 12)}.", "note")
    yield results_table(rows, naming)
    yield from _frontiers(place, shown, rows, naming)
    yield from _differences(found, naming)
    yield from _coverage(place, rows, naming)
    yield Heading(3, "What it cost")
    yield costs_table(rows, naming)


def _asked(rows: Sequence[Row]) -> str:
    questions = max(r.questions for r in rows)
    models = list(dict.fromkeys(r.model for r in rows))
    seeds = sorted({s for r in rows for s in r.seeds})
    said = (
        f"{several(questions, 'question')}, {several(len(models), 'model')} ({', '.join(models)}), "
    )
    said += f"{several(len(seeds), 'seed')} ({', '.join(map(str, seeds))})."
    short = [r for r in rows if r.questions < questions]
    return said + (f" {several(len(short), 'row')} cover fewer questions." if short else "")


def _renamed(curve: Curve[Any], rows: Sequence[Row], naming: Naming) -> Curve[Any]:
    """The curve under the name that the report has for it, with the model where there are several."""
    name = naming.names.get(curve.line, curve.line)
    if len({r.model for r in rows}) > 1:
        name = f"{name} · {curve.model}"
    bound = [bounds(r.budget, short=True) for r in rows if repr(r.budget) == curve.budget]
    if curve.budget and len({r.budget for r in rows}) > 1:
        name = f"{name}, {bound[0] if bound else curve.budget}"
    return replace(curve, line=name)


def _frontiers(
    place: int, shown: Sequence[Curve[Any]], rows: Sequence[Row], naming: Naming
) -> Iterator[Block]:
    sizes = {r.strategy: r.n for r in rows}
    views = [
        view
        for unit in COST_UNITS
        if (
            view := frontier_view(
                f"f{place}-{unit}", [c for c in shown if c.unit == unit], naming.slots, sizes
            )
        )
    ]
    if views:
        yield Heading(3, "What is worth its cost")
        yield Charts(f"cost-{place}", "Accuracy over", tuple(views))
        yield Words(
            "Filled marks on the dashed steps are the frontier by the estimates: nothing cheaper is as accurate. Hollow "
            "marks are beaten. A step smaller than its whiskers may be chance.",
            "note",
        )


def _coverage(place: int, rows: Sequence[Row], naming: Naming) -> Iterator[Block]:
    held = [_renamed(c, rows, naming) for c in coverage_curves(rows, "n") if len(c.points) > 1]
    view = curve_view(f"c{place}", held, naming.slots)
    if view is not None:
        yield Heading(3, "Coverage, which is not accuracy")
        yield Words(
            "How often any of the candidates was right: what a perfect selection would have reached, and nobody has "
            "one. It stands on an axis of its own and is to be compared with nothing above.",
            "note",
        )
        yield Charts(f"coverage-{place}", "Coverage against", (view,))


# ------------------------------------------------------------------------------------------ tables


def results_table(rows: Sequence[Row], naming: Naming) -> Table:
    """One row a strategy and N: how good, out of how many, and what was left unanswered."""
    best = {
        model: max((r.accuracy.estimate for r in rows if r.model == model), default=0.0)
        for model in {r.model for r in rows}
    }
    lines: list[elements.Row] = []
    for heading, held in _groups(rows):
        if heading:
            lines.append(elements.Row((heading,)))
        lines += [_result(r, naming, best[r.model]) for r in held]
    return Table(
        "Results. Accuracy is of the selected answer, an abstention counting as wrong. Coverage is another quantity: "
        "whether any candidate was right. The best estimate of each model is bold.",
        (
            "strategy", "N", "accuracy, %", "coverage, %", "questions", "abstained", "cut", "ended early",
            "tokens out", "calls",
        ),
        tuple(lines),
        frozenset(range(1, 10)),
    )  # fmt: skip


def _groups(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows by model and budget, with a heading where there are several."""
    groups: dict[tuple[str, Any], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.model, row.budget), []).append(row)
    for (model, budget), held in groups.items():
        words = f"{model}, {bounds(budget)}" if bounds(budget) else model
        yield words if len(groups) > 1 else "", held


def _result(row: Row, naming: Naming, best: float) -> elements.Row:
    stopped = ", ".join(f"{why} {count:,}" for why, count in row.stopped.items())
    return elements.Row(
        (
            naming.of(row),
            _size(row),
            Entry(
                percent(row.accuracy.estimate),
                interval(row.accuracy),
                "top" if row.accuracy.estimate == best else "",
            ),
            Entry(percent(row.any_right.estimate), interval(row.any_right)),
            Entry(f"{row.questions:,}", f"× {several(len(row.seeds), 'seed')}"),
            f"{row.abstained:,}",
            f"{row.truncated:,}",
            stopped or "0",
            _cost(row, "tokens_out"),
            _cost(row, "calls"),
        )
    )


def _size(row: Row) -> str:
    return "" if row.n is None else str(row.n)


def _cost(row: Row, unit: str) -> str:
    held = row.costs.get(unit)
    if held is None:
        return "unknown"
    return ("≈ " if held.estimated else "") + in_unit(held.estimate, unit)


def costs_table(rows: Sequence[Row], naming: Naming) -> Table:
    """Mean cost of a question, tokens by role."""
    roles = list(dict.fromkeys(role for r in rows for role in r.roles))
    units = [
        u
        for u in ("calls", "flops", "bytes_moved", "kv_bytes", "usd")
        if any(r.costs.get(u) for r in rows)
    ]
    names = {
        "flops": "FLOPs",
        "bytes_moved": "bytes moved",
        "kv_bytes": "KV bytes",
        "usd": "US dollars",
    }
    head = [
        "strategy",
        "N",
        *(f"{role} {way}" for role in roles for way in ("in", "out")),
        *(names.get(u, u) for u in units),
    ]
    lines: list[elements.Row] = []
    for heading, held in _groups(rows):
        if heading:
            lines.append(elements.Row((heading,)))
        lines += [
            elements.Row(
                (
                    naming.of(r),
                    _size(r),
                    *(_tokens(r, role, way) for role in roles for way in ("in", "out")),
                    *(_cost(r, u) for u in units),
                )
            )
            for r in held
        ]
    left = [names.get(u, u) for u in ("flops", "bytes_moved", "kv_bytes", "usd") if u not in units]
    unknown = f" Unknown in this run: {', '.join(left)}." if left else ""
    return Table(
        "Mean cost of a question: prompt (in) and generated (out) tokens of each role, and all roles together. "
        f"≈ marks estimates.{unknown}",
        tuple(head),
        tuple(lines),
        frozenset(range(1, len(head))),
    )


def _tokens(row: Row, role: str, way: str) -> str:
    held = row.roles.get(role)
    if held is None or not row.outcomes:
        return "0"
    mean = (held.tokens_in if way == "in" else held.tokens_out) / row.outcomes
    return ("≈ " if held.estimated else "") + in_unit(mean, "tokens")


def _differences(found: Sequence[Compared], naming: Naming) -> Iterator[Block]:
    if not found:
        return
    yield Heading(3, "Paired differences")
    lines = list(dict.fromkeys(naming.of(c.baseline) for c in found))
    yield Words(
        f"Every row less {', '.join(lines)} with the same N, question by question. A difference is called real where "
        "its interval excludes zero and its p value, adjusted for all comparisons of this task (Holm), is below 5 %. "
        "Equal N is not equal cost: the last column says how many times the baseline's tokens, prompts and all roles "
        "counted, were spent.",
        "note",
    )
    yield Table(
        "Differences in percentage points, paired by question",
        ("strategy", "N", "against", "difference", "p (Holm)", "better", "worse", "equal", "is it real?", "tokens ×"),
        tuple(_difference(c, naming) for c in found),
        frozenset({1, 3, 4, 5, 6, 7, 9}),
    )  # fmt: skip


def _difference(c: Compared, naming: Naming) -> elements.Row:
    d = c.difference
    tone = ("good" if d.estimate > 0 else "bad") if c.real else ""
    size = f", N = {c.baseline.n}" if c.baseline.n is not None and c.baseline.n != c.row.n else ""
    sign = "+" if d.estimate > 0 else ""
    own, other = c.row.costs.get("tokens"), c.baseline.costs.get("tokens")
    times = f"{own.estimate / other.estimate:.2f}" if own and other and other.estimate else "–"
    return elements.Row(
        (
            naming.of(c.row),
            _size(c.row),
            f"{naming.of(c.baseline)}{size}",
            Entry(f"{sign}{percent(d.estimate)}", interval(d)),
            "< 0.001" if c.adjusted < 0.001 else f"{c.adjusted:.3f}",
            f"{d.wins:,}",
            f"{d.losses:,}",
            f"{d.ties:,}",
            Entry(
                ("yes, better" if d.estimate > 0 else "yes, worse") if c.real else "not shown",
                "",
                tone,
            ),
            times,
        )
    )
