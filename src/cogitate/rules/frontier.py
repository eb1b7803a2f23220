"""What is worth its cost: the Pareto set, and what lies between two points of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


def pareto(costs: Sequence[float], values: Sequence[float]) -> list[int]:
    """Indices of the points that no other beats: none costs as little and is worth more, or costs less for as much.

    By growing cost; of equal points the first.

    >>> pareto([1, 2, 2, 4], [0.3, 0.5, 0.4, 0.5])
    [0, 1]
    """
    order = sorted(range(len(costs)), key=lambda i: (costs[i], -values[i], i))
    kept: list[int] = []
    for i in order:
        if not kept or values[i] > values[kept[-1]]:
            kept.append(i)
    return kept


@dataclass(frozen=True, slots=True)
class Between:
    """A place between two points of a frontier."""

    left: int
    right: int
    weight: float
    """Of the right one, in [0, 1]."""


def between(costs: Sequence[float], at: float, *, logarithmic: bool = True) -> Between | None:
    """Where a cost lies among costs that grow; `None` outside of them, because nothing is known there.

    >>> between([1, 4, 16], 8)
    Between(left=1, right=2, weight=0.5)
    >>> between([1, 4, 16], 32) is None
    True
    """
    if not costs or not costs[0] <= at <= costs[-1]:
        return None
    for i, cost in enumerate(costs):
        if cost == at:
            return Between(i, i, 0.0)
    right = next(i for i, cost in enumerate(costs) if cost > at)
    low, high = costs[right - 1], costs[right]
    if logarithmic and low > 0:
        return Between(right - 1, right, math.log(at / low) / math.log(high / low))
    return Between(right - 1, right, (at - low) / (high - low))
