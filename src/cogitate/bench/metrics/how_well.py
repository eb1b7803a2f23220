"""The survey's "how well": a registry of metrics by its dimensions, and what a run says of each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from cogitate.bench.results import Cell, Found
from cogitate.core.errors import InvalidInput
from cogitate.rules.scaling import length_deviation, scaling_slope, share_within
from cogitate.rules.statistics import bootstrap, wilson

from .cells import Row, Table
from .costs import DRAWS
from .curves import place
from .values import Accuracy, Amount, Coverage, Curve, Value

Source = Literal["run", "pool", "texts", "none"]


@dataclass(frozen=True, slots=True)
class Metric:
    """A metric of the registry."""

    name: str
    path: str
    """Its place in the taxonomy's axis `how_well`: dimension, then metric."""
    formula: str
    interval: str
    source: Source
    """What it is measured on: a `run`, a `pool`, the `texts` by a rule of its own, or `none`: it is not measured here."""
    rule: str = ""
    """The function that computes it."""
    deviates: str = ""
    """Where the definition departs from the survey's, or is not sure."""

    @property
    def dimension(self) -> str:
        """Performance, efficiency, controllability or scalability."""
        return self.path.partition("/")[0]


_BOOT: Final = "bootstrap over questions"

METRICS: Final[tuple[Metric, ...]] = (
    Metric(
        "pass@1",
        "performance/pass_at_1",
        "mean over questions of the mean over samples of correctness",
        f"Wilson for one sample a question, else {_BOOT}",
        "run",
        "bench.metrics.table",
    ),
    Metric(
        "pass@k",
        "performance/coverage",
        "mean over questions of 1 - C(n - c, k) / C(n, k)",
        _BOOT,
        "pool",
        "rules.pass_at_k",
    ),
    Metric(
        "cons@k",
        "performance/consensus",
        "mean over questions and subsets of k of whether the majority answer is right; ties fall alike on all tied",
        _BOOT,
        "pool",
        "rules.expected_majority",
    ),
    Metric("preference", "performance/preference", "win rate, Elo", "", "none"),
    Metric("task score", "performance/task_score", "as the task defines it", "", "none"),
    Metric(
        "tokens",
        "efficiency/tokens",
        "mean tokens a question",
        _BOOT,
        "run",
        "bench.metrics.amounts",
    ),
    Metric(
        "FLOPs",
        "efficiency/flops",
        "as measured by the engine; else 2 x parameters x tokens, marked as an estimate",
        _BOOT,
        "run",
        "bench.metrics.cost_of",
    ),
    Metric(
        "KV cache",
        "efficiency/kv_cache",
        "bytes a token x tokens, marked as an estimate",
        _BOOT,
        "run",
        "bench.metrics.cost_of",
    ),
    Metric(
        "throughput",
        "efficiency/latency",
        "outcomes a second of wall-clock, from the timing file",
        "none: one run is one measurement",
        "run",
    ),
    Metric(
        "underthinking",
        "efficiency/underthinking",
        "mean over wrong answers of 1 - tokens up to the first right thought / all tokens",
        "",
        "texts",
        "rules.underthinking",
        "written from memory of its paper; it needs texts cut into thoughts, each of them graded",
    ),
    Metric(
        "control",
        "controllability/control",
        "share of runs whose compute lies within [least, most]",
        "Wilson",
        "run",
        "rules.share_within",
        "where a budget is given: least is 0 and most the budget's generated tokens",
    ),
    Metric(
        "length deviation",
        "controllability/length_deviation",
        "mean |used - requested| / requested of generated tokens",
        _BOOT,
        "run",
        "rules.length_deviation",
        "the requested length is the budget's; the survey's definition is from memory",
    ),
    Metric(
        "k-epsilon",
        "controllability/k_epsilon",
        "a prompt of at most k tokens exists that succeeds",
        "",
        "none",
    ),
    Metric(
        "slope",
        "scalability/slope",
        "mean over pairs of points of (f(b) - f(a)) / (log2 b - log2 a): accuracy a doubling",
        _BOOT,
        "run",
        "rules.scaling_slope",
        "over the logarithm of compute; the survey's is over compute itself",
    ),
    Metric(
        "curve",
        "scalability/curve",
        "accuracy against compute",
        "at each point",
        "run",
        "bench.metrics.curves",
    ),
)
"""All metrics of the survey, in its order; those with the source `none` are named and not measured."""


def metrics_of(dimension: str) -> tuple[Metric, ...]:
    """The metrics of a dimension.

    Raises:
        InvalidInput: for an unknown dimension.

    >>> [m.name for m in metrics_of("scalability")]
    ['slope', 'curve']
    """
    found = tuple(m for m in METRICS if m.dimension == dimension)
    if not found:
        known = ", ".join(dict.fromkeys(m.dimension for m in METRICS))
        raise InvalidInput(f"there is no dimension {dimension!r}; there are {known}")
    return found


@dataclass(frozen=True, slots=True, eq=True)
class Measure(Value):
    """A value of a metric that is neither an accuracy nor a coverage nor a cost."""

    unit: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a run says of a metric."""

    metric: str
    path: str
    task: str
    model: str
    subject: str
    """The strategy or the line it is of."""
    value: Accuracy | Coverage | Amount | Measure
    note: str = ""


def how_well(found: Found, table: Table, seed: int = 0) -> tuple[Finding, ...]:
    """Every metric of the registry that the cells of a run can say something of, by dimension.

    Those of pools are in `bench.selection`, those of texts in `rules`.
    """
    findings: list[Finding] = []
    for row in table.rows:
        findings += _of_row(row)
    for cell in found.cells:
        findings += _controlled(cell, seed)
    findings += [f for unit in ("n", "tokens_out") for f in _slopes(table.rows, unit, seed)]
    order = {metric.name: i for i, metric in enumerate(METRICS)}
    return tuple(sorted(findings, key=lambda f: order[f.metric]))


def _of_row(row: Row) -> list[Finding]:
    told = (row.task, row.model, row.strategy)
    found = [Finding("pass@1", "performance/pass_at_1", *told, row.accuracy)]
    for name, path, unit in (
        ("tokens", "efficiency/tokens", "tokens"),
        ("FLOPs", "efficiency/flops", "flops"),
        ("KV cache", "efficiency/kv_cache", "kv_bytes"),
    ):
        amount = row.costs.get(unit)
        if amount is not None:
            note = "an estimate" if amount.estimated else ""
            found.append(Finding(name, path, *told, amount, note))
    rate = row.throughput
    if rate is not None:
        value = Measure(
            row.questions, rate, rate, rate, "none", row.seeds, unit="questions a second"
        )
        found.append(Finding("throughput", "efficiency/latency", *told, value, "of this machine"))
    return found


def _controlled(cell: Cell, seed: int) -> list[Finding]:
    """Control and length deviation, where a number of generated tokens was asked for."""
    asked = cell.key.budget.tokens_out
    if not asked or not cell.outcomes:
        return []
    used = [float(o.spent.tokens_out) for o in cell.outcomes]
    told = (cell.key.task, cell.key.model, cell.key.strategy)
    note = f"{asked} generated tokens asked for, seed {cell.key.seed}"
    n, seeds = len(used), (cell.key.seed,)
    within = wilson(share_within(used, 0, asked) * n, n)
    control = Measure.of(within, n, "wilson", seeds)
    each = [length_deviation([u], [asked]).relative for u in used]
    spread = bootstrap(each, seed, draws=DRAWS, expanded=True)
    deviation = Measure.of(spread, n, "bootstrap", seeds)
    rmse = length_deviation(used, [asked] * n).rmse
    path = "controllability/length_deviation"
    return [
        Finding("control", "controllability/control", *told, control, note),
        Finding("length deviation", path, *told, deviation, f"{note}; RMSE {rmse:.4g} tokens"),
    ]


def _slopes(rows: Iterable[Row], unit: str, seed: int) -> list[Finding]:
    lines: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if (at := place(row, unit)) is not None and at > 0:
            lines.setdefault((row.task, row.model, row.line, row.budget), []).append(row)
    found: list[Finding] = []
    for line in lines.values():
        value = slope(line, unit, seed)
        if value is not None:
            first = line[0]
            note = f"over {len(line)} points, a doubling of {unit}"
            told = (first.task, first.model, first.line or first.strategy)
            found.append(Finding("slope", "scalability/slope", *told, value, note))
    return found


def slope(rows: Sequence[Row], unit: str = "n", seed: int = 0) -> Measure | None:
    """How much accuracy a doubling of N or of a cost brings: the mean slope over all pairs of points.

    The slope is linear in the accuracies, so each question has one of its own, and the interval is a bootstrap over
    the questions that all points share. `None` for fewer than two different places, or no such question.
    """
    points = {math.log2(x): row for row in rows if (x := place(row, unit)) is not None and x > 0}
    shared = (
        [q for q in rows[0].scores if all(q in r.scores for r in points.values())] if rows else []
    )
    if len(points) < 2 or not shared:
        return None
    places, held = list(points), list(points.values())
    each = [scaling_slope(places, [row.scores[q] for row in held]) for q in shared]
    spread = bootstrap(each, seed, draws=DRAWS, expanded=True)
    seeds = tuple(sorted({s for row in held for s in row.seeds}))
    return Measure.of(spread, len(shared), "bootstrap", seeds)


def curve_slope(curve: Curve[Accuracy]) -> float | None:
    """The slope of a curve's estimates a doubling, without an interval, such as of a pool's."""
    points = {math.log2(p.x): p.value.estimate for p in curve.points if p.x > 0}
    return scaling_slope(list(points), list(points.values())) if len(points) > 1 else None


def by_dimension(findings: Iterable[Finding]) -> Mapping[str, tuple[Finding, ...]]:
    """The findings under the survey's four dimensions; an empty tuple where nothing was measured."""
    sums: dict[str, tuple[Finding, ...]] = dict.fromkeys([m.dimension for m in METRICS], ())
    for finding in findings:
        sums[finding.path.partition("/")[0]] += (finding,)
    return sums
