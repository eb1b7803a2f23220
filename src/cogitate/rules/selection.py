"""Which of several scored things to keep; every rule returns indices."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

from .chance import generator


def order(values: Sequence[float]) -> list[int]:
    """Indices from the highest value to the lowest; ties keep their order, and NaN comes last.

    >>> order([0.2, float("nan"), 0.9, 0.2])
    [2, 0, 3, 1]
    """
    return sorted(range(len(values)), key=lambda i: (math.isnan(values[i]), -values[i]))


def top_k(values: Sequence[float], k: int) -> list[int]:
    """The k highest, best first; ties go to the earlier.

    >>> top_k([0.1, 0.7, 0.7, 0.3], 2)
    [1, 2]
    """
    return order(values)[: max(0, k)]


def top_k_spread(
    values: Sequence[float], groups: Sequence[Hashable], k: int, per_group: int
) -> list[int]:
    """The k highest with at most `per_group` of each group, best first.

    >>> top_k_spread([0.9, 0.8, 0.7, 0.1], ["a", "a", "b", "b"], 2, per_group=1)
    [0, 2]
    """
    taken: dict[Hashable, int] = {}
    kept: list[int] = []
    for i in order(values):
        if len(kept) >= k:
            break
        if taken.get(groups[i], 0) < per_group:
            taken[groups[i]] = taken.get(groups[i], 0) + 1
            kept.append(i)
    return kept


def softmax(values: Sequence[float], temperature: float = 1.0) -> list[float]:
    """Weights that sum to one; temperature 0 shares all among the highest. Minus infinity and NaN get 0.

    Where no value is finite, all weigh the same.

    >>> softmax([1.0, 1.0, float("-inf")])
    [0.5, 0.5, 0.0]
    """
    if not values:
        return []
    clean = [-math.inf if math.isnan(v) else v for v in values]
    high = max(clean)
    if high == -math.inf:
        return [1 / len(clean)] * len(clean)
    if high == math.inf or temperature <= 0:
        raw = [float(v == high) for v in clean]
    else:
        raw = [math.exp((v - high) / temperature) for v in clean]
    total = math.fsum(raw)
    return [r / total for r in raw]


def sample_k(values: Sequence[float], k: int, temperature: float, seed: int) -> list[int]:
    """Draw k different indices, one after another, in proportion to the softmax of what is left.

    What weighs nothing is drawn only when all else is gone.

    >>> sorted(sample_k([0.0, 5.0, float("-inf")], 2, 1.0, seed=0))
    [0, 1]
    """
    draw = generator(seed)
    left = list(range(len(values)))
    kept: list[int] = []
    while left and len(kept) < k:
        weights = softmax([values[i] for i in left], temperature)
        mark, at = draw.random(), 0
        for at, weight in enumerate(weights):  # noqa: B007  (the place where the mark falls is used below)
            mark -= weight
            if mark < 0 and weight:
                break
        else:
            at = max(range(len(weights)), key=lambda i: (weights[i], -i))
        kept.append(left.pop(at))
    return kept
