"""Weighted votes over subsets of a pool: there is no closed form, so subsets are drawn, and drawn evenly.

A random order of the pool is cut into blocks of n: every block is a uniform subset, the blocks of an order
do not overlap, and so every sample is used equally often. The mean varies less than over subsets drawn each by
itself, and the orders, which are independent, tell its standard error.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any, Final

from .aggregate import normalised
from .chance import numpy_or_none, shuffles
from .subsampling import Expected
from .votes import Tie

_LEAST_ORDERS: Final = 16
_NO_VOTE: Final = -1.0
"""The outcome of a subset in which no answer has a score."""
_GRAIN: Final = 1 << 40
"""Scores are summed as whole multiples of the largest over this, so that their order does not matter; sums that
differ by no more than the rounding of so many scores are tied."""
_RANK: Final = 1 << 20
"""What a rank, which is exact, counts in such sums."""


def even_blocks(size: int, n: int, seed: int, draws: int) -> list[list[list[int]]]:
    """Random orders of a pool, each cut into as many blocks of n as fit; at least `draws` blocks in all.

    >>> [sorted(sum(order, [])) for order in even_blocks(4, 2, seed=0, draws=2)][0]
    [0, 1, 2, 3]
    """
    if not 1 <= n <= size:
        raise ValueError(
            f"subsets of {n} were asked for of a pool of {size}; n lies between 1 and that"
        )
    each = size // n
    orders = max(_LEAST_ORDERS, math.ceil(draws / each))
    return [
        [order[i * n : (i + 1) * n] for i in range(each)] for order in shuffles(size, seed, orders)
    ]


def expected_weighted(
    classes: Sequence[int | None],
    correct: Sequence[bool],
    scores: Sequence[float | None],
    n: int,
    seed: int,
    *,
    tie: Tie = "canonical",
    at_most: int = 300,
    draws: int = 200,
) -> Expected:
    """The chance that the answer with the highest sum of scores among n samples is right.

    As the scorer `weighted(...)` does: a sample without class or score adds nothing; where a subset holds a negative
    score, the ranks of its scores are summed instead. Within a class the mean correctness counts, ties by `first` fall
    on all tied classes alike, and of a subset in which no answer has a score any sample may be picked. All subsets are looked at where there are at most
    `at_most`, else blocks of random orders.

    Raises:
        ValueError: for the tie rule `score`, or n outside of the pool.

    >>> expected_weighted([0, 1, 1], [True, False, False], [0.9, 0.5, 0.6], 2, seed=0).value
    0.6666666666666666
    """
    if tie == "score":
        raise ValueError("a weighted vote over subsets breaks ties by `canonical` or `first`")
    size = len(classes)
    whole = 1 <= n <= size and math.comb(size, n) <= at_most
    groups = (
        [[list(c)] for c in itertools.combinations(range(size), n)]
        if whole
        else even_blocks(size, n, seed, draws)
    )
    labels = sorted({c for c in classes if c is not None})
    if not labels:  # every subset is a random pick
        return Expected(math.fsum(correct) / size, 0.0, sum(map(len, groups)))
    place = {label: i for i, label in enumerate(labels)}
    columns = [-1 if c is None else place[c] for c in classes]
    rights = [_mean_right(i, columns, correct) for i in range(len(labels))]
    known = [None if s is None or math.isnan(s) else s for s in scores]
    chosen = [block for group in groups for block in group]
    numpy = numpy_or_none()
    if numpy is None:
        found = [
            _outcome([columns[i] for i in b], [known[i] for i in b], rights, tie) for b in chosen
        ]
    else:
        found = _outcomes(numpy, chosen, columns, known, rights, tie)
    for i in [i for i, value in enumerate(found) if value < 0]:
        found[i] = math.fsum(correct[j] for j in chosen[i]) / n
    return _expected(found, len(groups[0]), exact=whole)


def _mean_right(column: int, columns: Sequence[int], correct: Sequence[bool]) -> float:
    held = [right for c, right in zip(columns, correct, strict=True) if c == column]
    return sum(held) / len(held)


def _expected(found: list[float], each: int, *, exact: bool) -> Expected:
    means = [math.fsum(found[i : i + each]) / each for i in range(0, len(found), each)]
    mean = math.fsum(means) / len(means)
    if exact:
        return Expected(mean, 0.0, len(found))
    spread = math.fsum((m - mean) ** 2 for m in means) / (len(means) - 1)
    return Expected(mean, math.sqrt(spread / len(means)), len(found))


def _weights(scores: list[float]) -> list[int]:
    """Whole numbers in proportion to the scores, or twice their ranks where one is negative."""
    if any(s < 0 for s in scores):
        return [_RANK * round(2 * len(scores) * r) for r in normalised(scores, "rank")]
    most = max(scores, default=0.0)
    if math.isinf(most):
        return [_RANK * int(s == most) for s in scores]
    return [round(s / most * _GRAIN) if most else 0 for s in scores]


def _outcome(
    columns: list[int], scores: list[float | None], rights: list[float], tie: Tie
) -> float:
    weights = iter(_weights([s for s in scores if s is not None]))
    totals: dict[int, int] = {}
    for column, score in zip(columns, scores, strict=True):
        if score is not None:
            weight = next(weights)
            if column >= 0:
                totals[column] = totals.get(column, 0) + weight
    if not totals:
        return _NO_VOTE
    best = max(totals.values())
    tied = sorted(c for c, t in totals.items() if t >= best - len(scores))
    return rights[tied[0]] if tie == "canonical" else math.fsum(rights[c] for c in tied) / len(tied)


def _outcomes(
    numpy: Any,
    chosen: list[list[int]],
    columns: list[int],
    scores: list[float | None],
    rights: list[float],
    tie: Tie,
) -> list[float]:
    """All subsets at once; the same outcomes as one by one."""
    at = numpy.array(chosen)
    column = numpy.array(columns)[at]
    score = numpy.array([math.nan if s is None else s for s in scores])[at]
    known = ~numpy.isnan(score)
    weight = _all_weights(numpy, score, known)
    rows = numpy.arange(len(at))[:, None]
    votes = known & (column >= 0)
    cell = (rows * len(rights) + column)[votes]
    shape = (len(at), len(rights))
    totals = numpy.zeros(len(at) * len(rights), dtype=numpy.int64)
    numpy.add.at(totals, cell, weight[votes])
    standing = numpy.zeros(len(at) * len(rights), dtype=bool)
    standing[cell] = True
    totals = numpy.where(standing, totals, -1).reshape(shape)
    best = totals.max(axis=1, keepdims=True)
    tied = (totals >= best - at.shape[1]) & (totals >= 0)
    right = numpy.array(rights)
    if tie == "canonical":
        return numpy.where(tied.any(axis=1), right[tied.argmax(axis=1)], _NO_VOTE).tolist()
    count = tied.sum(axis=1)
    return numpy.where(
        count > 0, (tied * right).sum(axis=1) / numpy.maximum(1, count), _NO_VOTE
    ).tolist()


def _all_weights(numpy: Any, score: Any, known: Any) -> Any:
    filled = numpy.where(known, score, -numpy.inf)
    most = filled.max(axis=1, keepdims=True)
    with numpy.errstate(divide="ignore", invalid="ignore"):
        scaled = numpy.where(most > 0, numpy.rint(filled / most * _GRAIN), 0.0)
    scaled = numpy.where(numpy.isposinf(most), numpy.isposinf(filled) * float(_RANK), scaled)
    weight = numpy.where(known, scaled, 0.0)
    negative = (known & (score < 0)).any(axis=1)
    if negative.any():
        # twice the mean rank among the known: those below, and those at most as high
        s, k = score[negative], known[negative]
        ranks = numpy.zeros(s.shape)
        for j in range(s.shape[1]):
            mine = s[:, j : j + 1]
            ranks[:, j] = ((s < mine) & k).sum(axis=1) + ((s <= mine) & k).sum(axis=1) + 1
        weight[negative] = numpy.where(k, ranks * _RANK, 0.0)
    return weight.astype(numpy.int64)
