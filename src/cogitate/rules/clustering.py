"""Clusters of embeddings at a cosine distance: deterministic, and the same in any order of the vectors.

The cosine distance of two vectors is 1 minus the cosine of their angle, in [0, 2]. A vector without a
direction (all zeros, or not finite) belongs to no cluster and is near to nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from operator import mul
from typing import Final, Literal, get_args

Vector = Sequence[float]
Linkage = Literal["average", "single", "complete"]
"""How far apart two clusters are: the mean, the least or the greatest distance between their members.

With `single` linkage the clusters are the connected components of the graph of near pairs.
"""

LINKAGES: Final[tuple[Linkage, ...]] = get_args(Linkage)


def direction(vector: Vector) -> tuple[float, ...] | None:
    """The vector at length one; `None` where it has no direction.

    >>> direction((3.0, 4.0)), direction((0.0, 0.0))
    ((0.6, 0.8), None)
    """
    if not all(map(math.isfinite, vector)):
        return None
    largest = max(map(abs, vector), default=0.0)
    if largest == 0:
        return None
    scaled = [v / largest for v in vector]  # so that no square overflows
    length = math.sqrt(math.fsum(v * v for v in scaled))
    return tuple(v / length for v in scaled)


def mean_similarity(vectors: Sequence[Vector]) -> list[float | None]:
    """The mean cosine of each vector to all the others; 1 where it is alone, `None` without a direction.

    Linear in the vectors: the cosines to all are the product with the sum of all directions.

    >>> mean_similarity([(1.0, 0.0), (2.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
    [0.5, 0.5, 0.0, None]
    """
    units = [direction(v) for v in vectors]
    known = [u for u in units if u is not None]
    if len(known) < 2:
        return [None if u is None else 1.0 for u in units]
    total = [math.fsum(column) for column in zip(*known, strict=True)]
    others = len(known) - 1
    return [
        None if u is None else min(1.0, max(-1.0, (math.fsum(map(mul, u, total)) - 1.0) / others))
        for u in units
    ]


def clusters(
    vectors: Sequence[Vector], distance: float, linkage: Linkage = "average"
) -> tuple[int | None, ...]:
    """The cluster of each vector, by merging the nearest clusters while they are within `distance`.

    Clusters are numbered by their least direction, so neither the partition nor the numbers depend on the
    order of the vectors; where two pairs are equally near, the one of lesser directions merges first. Equal
    directions always share a cluster. Quadratic in the different directions.

    >>> clusters([(0.0, 1.0), (1.0, 0.0), (1.0, 0.01), (0.0, 0.0)], 0.05)
    (0, 1, 1, None)
    """
    units = [direction(v) for v in vectors]
    counts = Counter(u for u in units if u is not None)
    points = sorted(counts)
    sizes = [counts[point] for point in points]
    label = _merged(points, sizes, distance, linkage)
    number = {cluster: i for i, cluster in enumerate(dict.fromkeys(label))}
    place = {point: number[label[i]] for i, point in enumerate(points)}
    return tuple(None if u is None else place[u] for u in units)


def _merged(
    points: Sequence[Vector], sizes: list[int], distance: float, linkage: Linkage
) -> list[int]:
    """The cluster of each point, named by its first point.

    A chain of nearest neighbours: each ends in a pair that are each other's nearest, which merges where it is
    near enough. Under these linkages no merger brings anything nearer, so a pair that is too far is final.
    """
    apart = [[0.0] * len(points) for _ in points]
    for i, a in enumerate(points):
        for j in range(i):
            apart[i][j] = apart[j][i] = max(0.0, 1.0 - sum(map(mul, a, points[j])))
    weight = list(sizes)
    cluster = list(range(len(points)))
    open_ = set(cluster)
    chain: list[int] = []
    while len(open_) > 1:
        if not chain:
            chain.append(min(open_))
        tip: int = chain[-1]
        before: int = chain[-2] if len(chain) > 1 else -1
        row = apart[tip]
        # The lowest of equally near ones, so that no chain of equal distances closes to a ring.
        near: int = min(open_ - {tip}, key=lambda c: (row[c], c))
        if near != before:
            chain.append(near)
            continue
        del chain[-2:]
        if row[near] > distance:
            open_ -= {tip, near}
            continue
        kept, gone = min(tip, near), max(tip, near)
        for other in open_ - {kept, gone}:
            joined = _joined(
                apart[kept][other], apart[gone][other], weight[kept], weight[gone], linkage
            )
            apart[kept][other] = apart[other][kept] = joined
        weight[kept] += weight[gone]
        open_.discard(gone)
        cluster = [kept if c == gone else c for c in cluster]
    return cluster


def _joined(a: float, b: float, weight_a: int, weight_b: int, linkage: Linkage) -> float:
    """The distance of two merged clusters to a third."""
    match linkage:
        case "single":
            return min(a, b)
        case "complete":
            return max(a, b)
        case "average":
            # Between the two, whatever the rounding.
            mean = (weight_a * a + weight_b * b) / (weight_a + weight_b)
            return min(max(mean, min(a, b)), max(a, b))
