"""How steeply accuracy grows with compute."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class LengthDeviation:
    """How far used lengths lie from the requested ones."""

    relative: float
    """Mean of |used - requested| / requested."""
    rmse: float
    """Root of the mean squared difference, in the unit of the lengths."""


def length_deviation(used: Sequence[float], requested: Sequence[float]) -> LengthDeviation:
    """Mean relative error and root mean squared error of used against requested length.

    >>> length_deviation([75, 125], [100, 100])
    LengthDeviation(relative=0.25, rmse=25.0)

    Raises:
        ValueError: for no runs, or a requested length that is not positive.
    """
    pairs = list(zip(used, requested, strict=True))
    if not pairs or any(r <= 0 for _, r in pairs):
        raise ValueError("a length deviation needs runs, each with a requested length above 0")
    relative = math.fsum(abs(u - r) / r for u, r in pairs) / len(pairs)
    return LengthDeviation(
        relative, math.sqrt(math.fsum((u - r) ** 2 for u, r in pairs) / len(pairs))
    )


def underthinking(first_right: Sequence[int | None], total: Sequence[int]) -> float:
    """For wrong answers: the mean share of tokens spent after the first right thought was left again.

    1 - (tokens up to the end of the first right thought) / (tokens of the whole text), and 0 where no
    thought was right.

    Args:
        first_right: of each wrong answer, tokens up to the first right thought; `None` where there was none.
        total: of each wrong answer, all its tokens.

    Reference:
        @misc{wang2025thoughts, title={Thoughts Are All Over the Place: On the Underthinking of o1-Like LLMs},
          author={Wang, Yue and others}, year={2025}, eprint={2501.18585}}

    Deviates:
        Defined from memory of that paper; a text without a right thought counts 0 and stays in the mean.

    >>> underthinking([25, None], [100, 80])
    0.375

    Raises:
        ValueError: for no answers, or more tokens up to a thought than in all.
    """
    pairs = list(zip(first_right, total, strict=True))
    if not pairs or any(t < 1 or (f is not None and not 0 <= f <= t) for f, t in pairs):
        raise ValueError(
            "underthinking needs wrong answers, each with 0 <= first right <= total tokens"
        )
    return math.fsum(0.0 if f is None else 1 - f / t for f, t in pairs) / len(pairs)
