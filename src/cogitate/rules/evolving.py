"""Who lives on and who has children: elites, tournaments, truncation; every rule returns indices."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .chance import generator
from .selection import order


def elite(values: Sequence[float], k: int) -> list[int]:
    """The k highest, best first; what has no finite value is none.

    >>> elite([0.1, float("-inf"), 0.7], 3)
    [2, 0]
    """
    return [i for i in order(values) if math.isfinite(values[i])][: max(0, k)]


def tournament(values: Sequence[float], k: int, size: int, seed: int) -> list[int]:
    """The winners of k tournaments: `size` are drawn for each, and the highest of them wins.

    Winners do not enter again, and where fewer are left, all of them enter. Ties go to the one drawn first, so
    that equals have equal chances. Of n with different values, the one with r better ones wins the first
    tournament with probability C(n - 1 - r, size - 1) / C(n, size).

    >>> tournament([0.1, 0.9, 0.5], 2, size=3, seed=0)
    [1, 2]
    """
    draw, size = generator(seed), max(1, size)
    won: list[int] = []
    for _ in range(min(k, len(values))):
        # As many more are drawn as have won before: without those, it is a draw among the others.
        drawn = draw.sample(range(len(values)), min(size + len(won), len(values)))
        rivals = [i for i in drawn if i not in won][:size]
        won.append(max(rivals, key=lambda i: -math.inf if math.isnan(values[i]) else values[i]))
    return won


def truncation(values: Sequence[float], k: int, size: int, seed: int) -> list[int]:
    """Draw k of the `size` highest, each once and all equally likely; best first.

    With `k` = `size` these are the `size` highest; with `size` = the number of values, any k.

    >>> truncation([0.1, 0.9, 0.5], 2, size=2, seed=0)
    [1, 2]
    """
    best = order(values)[: max(1, size)]
    places = generator(seed).sample(range(len(best)), min(max(0, k), len(best)))
    return [best[place] for place in sorted(places)]
