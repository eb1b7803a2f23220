"""Metrics: accuracy, coverage and costs with intervals, curves, frontiers, and the survey's how-well registry."""

from __future__ import annotations

from .cells import Row, Table, bootstrapped, cell_name, is_right, row_of, share, table
from .costs import COST_UNITS, Cost, Shape, amounts, by_role, cost_of, shapes_of
from .curves import (
    AXES,
    EqualCost,
    Frontier,
    FrontierPoint,
    at_equal_cost,
    coverage_curves,
    curves,
    frontier,
)
from .pairs import paired
from .values import (
    Accuracy,
    Amount,
    Coverage,
    Curve,
    Difference,
    Point,
    Value,
    average,
    of_one_kind,
    plain,
)

__all__ = [
    "AXES",
    "COST_UNITS",
    "Accuracy",
    "Amount",
    "Cost",
    "Coverage",
    "Curve",
    "Difference",
    "EqualCost",
    "Frontier",
    "FrontierPoint",
    "Point",
    "Row",
    "Shape",
    "Table",
    "Value",
    "amounts",
    "at_equal_cost",
    "average",
    "bootstrapped",
    "by_role",
    "cell_name",
    "cost_of",
    "coverage_curves",
    "curves",
    "frontier",
    "is_right",
    "of_one_kind",
    "paired",
    "plain",
    "row_of",
    "shapes_of",
    "share",
    "table",
]
