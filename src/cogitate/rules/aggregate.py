"""Step scores to one number, and scores on one scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Literal, get_args

from .selection import softmax

Aggregate = Literal["last", "min", "mean", "product", "sum"]
"""How the scores of the steps become the score of the solution."""

AGGREGATES: Final[tuple[Aggregate, ...]] = get_args(Aggregate)

WITHOUT_STEPS: Final = -1.0
"""The value of a solution without steps: below every probability."""

Normalise = Literal["none", "rank", "min_max", "z", "sigmoid", "softmax"]
"""How scores are brought to one scale; see `normalised`."""

NORMALISATIONS: Final[tuple[Normalise, ...]] = get_args(Normalise)


def aggregate(steps: Sequence[float], rule: Aggregate, *, empty: float = WITHOUT_STEPS) -> float:
    """One value for the scores of the steps; `empty` where there are none.

    `product` and `sum` favour short and long solutions: compare like with like.

    >>> [aggregate([0.5, 0.25, 1.0], rule) for rule in ("last", "min", "product", "sum")]
    [1.0, 0.25, 0.125, 1.75]
    >>> aggregate([], "mean")
    -1.0
    """
    if not steps:
        return empty
    match rule:
        case "last":
            return steps[-1]
        case "min":
            return min(steps)
        case "mean":
            # A mean may not fall below the least of its terms by rounding.
            return min(max(math.fsum(steps) / len(steps), min(steps)), max(steps))
        case "product":
            return math.prod(steps)
        case "sum":
            return math.fsum(steps)


def normalised(values: Sequence[float], how: Normalise) -> list[float]:
    """The values on one scale, in the same order; equal values stay equal.

    `rank`: the mean rank divided by the count, in (0, 1], so that the best of three is 1 and the worst
    1/3; `min_max`: linear onto [0, 1], and 1 where all are equal; `z`: distance from the mean in
    standard deviations, 0 where all are equal; `sigmoid`: 1 / (1 + exp(-value)), each by itself;
    `softmax`: shares that sum to one, in proportion to exp(value).

    >>> normalised([-3.0, -1.0, -1.0, 5.0], "rank")
    [0.25, 0.625, 0.625, 1.0]
    """
    if how == "none" or not values:
        return list(values)
    if how == "rank":
        return _ranks(values)
    if how == "sigmoid":
        return [1 / (1 + math.exp(min(-v, 700.0))) for v in values]  # exp(710) overflows
    if how == "softmax":
        return softmax(values)
    low, high = min(values), max(values)
    if how == "min_max":
        # Halved, so that the distance of two huge values does not overflow.
        span = high / 2 - low / 2
        return [(v / 2 - low / 2) / span if span else 1.0 for v in values]
    centre = math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((v - centre) ** 2 for v in values) / len(values))
    return [(v - centre) / spread if spread and low != high else 0.0 for v in values]


def _ranks(values: Sequence[float]) -> list[float]:
    order = sorted(values)
    first: dict[float, int] = {}
    count: dict[float, int] = {}
    for place, value in enumerate(order, start=1):
        first.setdefault(value, place)
        count[value] = count.get(value, 0) + 1
    return [(first[v] + (count[v] - 1) / 2) / len(values) for v in values]
