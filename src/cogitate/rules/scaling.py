"""How steeply accuracy grows with compute."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence


def scaling_slope(compute: Sequence[float], accuracy: Sequence[float]) -> float:
    """The mean slope over all pairs of points: (f(b) - f(a)) / (b - a) for every a < b.

    Give the logarithm of compute where the axis is logarithmic. For points on a line it is the line's slope.

    Reference:
        @misc{muennighoff2025s1, title={s1: Simple test-time scaling}, author={Muennighoff, Niklas and
          others}, year={2025}, eprint={2501.19393}}

    >>> scaling_slope([1, 2, 4], [0.2, 0.3, 0.5])
    0.1

    Raises:
        ValueError: for fewer than two points, or two at the same compute.
    """
    points = sorted(zip(compute, accuracy, strict=True))
    if len(points) < 2:
        raise ValueError(f"a slope needs at least 2 points, not {len(points)}")
    slopes: list[float] = []
    for (a, low), (b, high) in itertools.combinations(points, 2):
        if a == b:
            raise ValueError(f"two points lie at the same compute, {a:g}")
        slopes.append((high - low) / (b - a))
    return round(math.fsum(slopes) / len(slopes), 15)


def share_within(used: Sequence[float], least: float, most: float) -> float:
    """Control: the share of runs whose compute lies between `least` and `most`, both included.

    >>> share_within([10, 20, 30], 10, 20)
    0.6666666666666666

    Raises:
        ValueError: for no runs.
    """
    if not used:
        raise ValueError("the share of no runs was asked for")
    return sum(least <= amount <= most for amount in used) / len(used)
