"""One ranking from several."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)


def reciprocal_rank(
    rankings: Sequence[Sequence[K]], k: float = 60.0, weights: Sequence[float] = ()
) -> list[tuple[K, float]]:
    """Items by the sum of weight / (k + rank) over the rankings that hold them, best first.

    Ranks count from 1. Scores of different retrievers have different ranges; ranks have one. Equal sums keep the
    order in which the items are met, the first ranking first.

    >>> [item for item, _ in reciprocal_rank([["a", "b"], ["b", "c"]])]
    ['b', 'a', 'c']

    Raises:
        ValueError: for another number of weights than rankings, or a k that is not positive.

    Reference: Cormack, Clarke and Büttcher, Reciprocal Rank Fusion, SIGIR 2009.
    """
    told = list(weights) or [1.0] * len(rankings)
    if len(told) != len(rankings) or not k > 0:
        raise ValueError(
            f"{len(told)} weights for {len(rankings)} rankings and k={k} were given; there is one weight "
            "each, and k is positive"
        )
    sums: dict[K, float] = {}
    for ranking, weight in zip(rankings, told, strict=True):
        for rank, item in enumerate(dict.fromkeys(ranking), 1):
            sums[item] = sums.get(item, 0.0) + weight / (k + rank)
    return sorted(sums.items(), key=lambda pair: -pair[1])
