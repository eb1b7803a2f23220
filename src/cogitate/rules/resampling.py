"""Drawing a population anew in proportion to weights; every rule returns indices and is unbiased."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from typing import Literal, get_args

from .chance import generator

Resampling = Literal["multinomial", "stratified", "systematic", "residual"]
RESAMPLINGS = get_args(Resampling)


def resample(
    weights: Sequence[float], count: int, seed: int, method: Resampling = "systematic"
) -> list[int]:
    """`count` indices, each i about `count * weights[i]` times, in rising order.

    In expectation the copies are exactly that, whatever the method; they differ in how far the counts
    stray: `multinomial` draws independently, `stratified` once in each of `count` equal strata, `systematic` at equal
    distances from one random start (counts are the floor or the ceiling), and `residual` copies the
    whole parts and draws only for the rest.

    Args:
        weights: finite and at least 0; they need not sum to one. Where all are 0, all weigh the same.
        count: how many are drawn, also more or fewer than there are weights.
        seed: of the draw.
        method: see above.

    Raises:
        ValueError: for a negative or non-finite weight, no weights, or a negative count.

    >>> resample([0.5, 0.0, 0.5], 4, seed=1)
    [0, 0, 2, 2]
    """
    shares = normalised_weights(weights)
    if count < 0:
        raise ValueError(f"{count} draws were asked for")
    if method == "residual":
        return _residual(shares, count, seed)
    return _at(shares, _points(count, seed, method))


def effective_size(weights: Sequence[float]) -> float:
    """How many equal weights would vary as much: 1 / sum of squared shares, from 1 to their number.

    >>> effective_size([1.0, 1.0, 0.0, 0.0])
    2.0
    """
    return 1 / math.fsum(share * share for share in normalised_weights(weights))


def normalised_weights(weights: Sequence[float]) -> list[float]:
    """The weights as shares of one; equal shares where all are 0.

    Raises:
        ValueError: for a negative or non-finite weight, or none at all.
    """
    if not weights or any(not math.isfinite(w) or w < 0 for w in weights):
        raise ValueError("weights must be finite and at least 0, and there must be some")
    high = max(weights)
    if high == 0:
        return [1 / len(weights)] * len(weights)
    scaled = [w / high for w in weights]  # so that huge ones do not overflow
    total = math.fsum(scaled)
    return [w / total for w in scaled]


def _points(count: int, seed: int, method: Resampling) -> list[float]:
    """Where on the unit interval the draws fall, in rising order."""
    draw = generator(seed)
    match method:
        case "multinomial":
            return sorted(draw.random() for _ in range(count))
        case "stratified":
            return [(i + draw.random()) / count for i in range(count)]
        case _:
            start = draw.random()
            return [(i + start) / count for i in range(count)]


def _at(shares: Sequence[float], points: Sequence[float]) -> list[int]:
    ends = list(itertools.accumulate(shares))
    last = max(i for i, share in enumerate(shares) if share > 0)
    # rounding may leave the last end below a point; and a share of 0 must never be drawn
    return [min(bisect.bisect_right(ends, point), last) for point in points]


def _residual(shares: Sequence[float], count: int, seed: int) -> list[int]:
    # a hair above, so that 3 times a third is 1 and not the floor of 0.999…
    whole = [math.floor(share * count + 1e-9) for share in shares]
    kept = [i for i, copies in enumerate(whole) for _ in range(copies)]
    left = count - len(kept)
    if left <= 0:
        return kept[:count]
    rest = [max(0.0, share * count - copies) for share, copies in zip(shares, whole, strict=True)]
    drawn = _at(normalised_weights(rest), _points(left, seed, "multinomial"))
    return sorted([*kept, *drawn])
