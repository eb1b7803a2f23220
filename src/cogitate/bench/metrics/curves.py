"""Accuracy against N and against cost, what is worth its cost, and a larger model at equal cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cogitate.core.errors import InvalidInput
from cogitate.rules.frontier import between, pareto

from .cells import Row, Table, bootstrapped
from .costs import COST_UNITS
from .pairs import paired
from .values import Accuracy, Coverage, Curve, Difference, Point, V

AXES: Final = ("n", *COST_UNITS)
"""What curves may be drawn against."""


def curves(rows: Table | Sequence[Row], unit: str = "n") -> tuple[Curve[Accuracy], ...]:
    """Accuracy of the selected answers against N or a unit of cost: a curve a task, model and line.

    Rows whose cost in this unit is unknown are left out, and so are rows without N where that is the axis.
    Lines whose N varies have a curve for each budget; elsewhere the budgets are the points.

    Raises:
        InvalidInput: for an unknown unit.
    """
    return tuple(_curve(group, unit, [r.accuracy for r in group]) for group in _lines(rows, unit))


def coverage_curves(rows: Table | Sequence[Row], unit: str = "n") -> tuple[Curve[Coverage], ...]:
    """How often any candidate was right, against N or a unit of cost; a curve of its own kind."""
    return tuple(_curve(group, unit, [r.any_right for r in group]) for group in _lines(rows, unit))


def _curve(group: Sequence[Row], unit: str, values: Sequence[V]) -> Curve[V]:
    points: list[Point[V]] = [
        Point(x, value, row.strategy, _is_estimate(row, unit))
        for row, value in zip(group, values, strict=True)
        if (x := place(row, unit)) is not None
    ]
    points.sort(key=lambda p: p.x)
    first = group[0]
    budgets = {row.budget for row in group}
    bound = repr(first.budget) if len(budgets) == 1 and first.budget.bounds() else ""
    return Curve(first.task, first.model, first.line, unit, tuple(points), bound)


def _lines(rows: Table | Sequence[Row], unit: str) -> list[list[Row]]:
    held = _rows(rows)
    if unit not in AXES:
        raise InvalidInput(f"curves against {unit!r} were asked for; there are {', '.join(AXES)}")
    varying = {
        (r.task, r.model, r.line)
        for r in held
        if len({s.n for s in held if (s.task, s.model, s.line) == (r.task, r.model, r.line)}) > 1
    }
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in held:
        if place(row, unit) is None:
            continue
        line = (row.task, row.model, row.line or row.strategy)
        by_budget = (row.task, row.model, row.line) in varying or unit == "n"
        groups.setdefault((*line, row.budget if by_budget else None), []).append(row)
    return list(groups.values())


def _rows(rows: Table | Sequence[Row]) -> Sequence[Row]:
    return rows.rows if isinstance(rows, Table) else rows


def place(row: Row, unit: str) -> float | None:
    """Where a row lies on an axis; `None` where that is unknown."""
    if unit == "n":
        return None if row.n is None else float(row.n)
    amount = row.costs.get(unit)
    return None if amount is None else amount.estimate


def _is_estimate(row: Row, unit: str) -> bool:
    amount = row.costs.get(unit)
    return amount is not None and amount.estimated


@dataclass(frozen=True, slots=True)
class FrontierPoint:
    """A strategy that is worth its cost."""

    cost: float
    accuracy: Accuracy
    model: str
    strategy: str
    n: int | None
    estimated: bool = False
    """Whether the cost is an estimate."""


@dataclass(frozen=True, slots=True)
class Frontier:
    """The strategies of a task that no other beats: none is as cheap and better, by the estimates."""

    task: str
    unit: str
    points: tuple[FrontierPoint, ...]
    """By growing cost."""
    beaten: int
    """Rows that are not on it."""
    unknown: int
    """Rows whose cost in this unit is unknown; they take no part."""


def frontier(
    rows: Table | Sequence[Row], task: str, unit: str, model: str | None = None
) -> Frontier:
    """The cost frontier of a task, over all models or of one.

    Raises:
        InvalidInput: for an unknown unit or task.
    """
    kept, beaten, unknown = _best(rows, task, unit, model)
    points = tuple(
        FrontierPoint(
            place(r, unit) or 0.0, r.accuracy, r.model, r.strategy, r.n, _is_estimate(r, unit)
        )
        for r in kept
    )
    return Frontier(task, unit, points, beaten, unknown)


def _best(
    rows: Table | Sequence[Row], task: str, unit: str, model: str | None
) -> tuple[list[Row], int, int]:
    if unit not in COST_UNITS:
        raise InvalidInput(
            f"a frontier over {unit!r} was asked for; costs are {', '.join(COST_UNITS)}"
        )
    held = [r for r in _rows(rows) if r.task == task and model in (None, r.model)]
    if not held:
        raise InvalidInput(
            f"the run has no rows of task {task!r}{f' and model {model!r}' if model else ''}"
        )
    known = [r for r in held if place(r, unit) is not None]
    chosen = pareto([place(r, unit) or 0.0 for r in known], [r.accuracy.estimate for r in known])
    return [known[i] for i in chosen], len(known) - len(chosen), len(held) - len(known)


def _best_and_most(
    rows: Table | Sequence[Row], task: str, unit: str, model: str
) -> tuple[list[Row], float]:
    """The frontier of one model, and the highest cost at which it was run."""
    best, _, _ = _best(rows, task, unit, model)
    run = [place(r, unit) for r in _rows(rows) if (r.task, r.model) == (task, model)]
    return best, max((cost for cost in run if cost is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class EqualCost:
    """A strategy against a larger model that may spend as much."""

    task: str
    unit: str
    cost: float
    strategy: str
    model: str
    accuracy: Accuracy
    larger: str
    """Label of the larger model."""
    baseline: Accuracy | None
    """The larger model's accuracy at this cost, between two points of its frontier; `None` where it has none there."""
    difference: Difference | None
    """Strategy less baseline, paired by question."""
    left: str = ""
    """The strategies of the larger model that its accuracy lies between."""
    right: str = ""
    weight: float = 0.0
    """Of the right one."""
    note: str = ""
    """Why there is no baseline."""


def at_equal_cost(
    rows: Table | Sequence[Row], row: Row, larger: str, unit: str, seed: int = 0
) -> EqualCost:
    """What a larger model makes of the same task for the same cost.

    Its accuracy is read off its own frontier, between the two points around this cost, linear in the logarithm of
    the cost: a mixture of the two strategies question by question, so that its interval and the difference are
    bootstrapped over questions. Past its last point, but within the costs at which it was run, that point counts.
    Below its cheapest run and above its dearest nothing is said: the note tells where these are.

    Raises:
        InvalidInput: for an unknown unit, a model without rows, or a row whose cost is unknown.
    """
    cost = place(row, unit)
    if cost is None:
        raise InvalidInput(f"the cost of {row.strategy} in {unit} is unknown; take another unit")
    best, most = _best_and_most(rows, row.task, unit, larger)
    costs = [place(r, unit) or 0.0 for r in best]
    # past the last point that is worth its cost, but within what was run, that point is still the best
    found = between(costs, min(cost, costs[-1])) if costs and cost <= most else None
    told = (row.task, unit, cost, row.strategy, row.model, row.accuracy, larger)
    if found is None:
        span = (
            f"was run at {costs[0]:.4g} to {most:.4g} {unit} a question"
            if costs
            else "has no known cost"
        )
        note = (
            f"{larger} {span}; at {cost:.4g} nothing is known of it, and a curve is not drawn out"
        )
        return EqualCost(*told, None, None, note=note)
    left, right = best[found.left], best[found.right]
    shared = [q for q in row.scores if q in left.scores and q in right.scores]
    if not shared:
        return EqualCost(*told, None, None, note="the two have no question in common")
    mixed = [(1 - found.weight) * left.scores[q] + found.weight * right.scores[q] for q in shared]
    own = [row.scores[q] for q in shared]
    seeds = tuple(sorted({*left.seeds, *right.seeds}))
    return EqualCost(
        *told,
        bootstrapped(Accuracy, mixed, seed, seeds),
        paired(own, mixed, seed, seeds),
        left.strategy,
        right.strategy,
        found.weight,
    )
