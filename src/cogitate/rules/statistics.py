"""Intervals and paired tests for accuracies, and the unbiased pass@k."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean

from .chance import generator, resample


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval."""

    value: float
    low: float
    high: float
    confidence: float = 0.95

    def __contains__(self, x: float) -> bool:
        return self.low <= x <= self.high


def pass_at_k(samples: int, correct: int, k: int) -> float:
    """The chance that at least one of k samples is correct, without bias, from a pool of samples.

    1 - C(n - c, k) / C(n, k): the share of k-subsets of the pool that hold a correct one.

    >>> pass_at_k(4, 1, 2)
    0.5
    """
    if not 0 <= correct <= samples:
        raise ValueError(
            f"{correct} correct of {samples} samples was given; it must lie between 0 and that"
        )
    if not 1 <= k <= samples:
        raise ValueError(
            f"pass@{k} was asked for of {samples} samples; draw at least k, and k at least 1"
        )
    misses = 1.0
    for i in range(correct):
        misses *= max(0, samples - k - i) / (samples - i)
    return 1.0 - misses


def wilson(successes: float, trials: int, confidence: float = 0.95) -> Interval:
    """The Wilson score interval of a share; sound for small counts and for 0 and all.

    >>> wilson(0, 10).low, round(wilson(0, 10).high, 4)
    (0.0, 0.2775)
    """
    if trials == 0:
        return Interval(math.nan, 0.0, 1.0, confidence)
    if not 0 <= successes <= trials:
        raise ValueError(
            f"{successes} successes in {trials} trials was given; it must lie between 0 and that"
        )
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share, square = successes / trials, z * z / trials
    centre = (share + square / 2) / (1 + square)
    half = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials)) / (1 + square)
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == trials else min(1.0, centre + half)
    return Interval(share, low, high, confidence)


def bootstrap(
    values: Sequence[float],
    seed: int,
    *,
    draws: int = 2000,
    confidence: float = 0.95,
    statistic: Callable[[Sequence[float]], float] = fmean,
) -> Interval:
    """The percentile bootstrap over questions: one value a question, questions drawn with replacement.

    >>> bootstrap([1.0] * 20, seed=0)
    Interval(value=1.0, low=1.0, high=1.0, confidence=0.95)
    """
    if not values:
        return Interval(math.nan, -math.inf, math.inf, confidence)
    draw = generator(seed)
    seen = sorted(statistic(resample(values, draw)) for _ in range(draws))
    tail = (1 - confidence) / 2
    return Interval(statistic(values), quantile(seen, tail), quantile(seen, 1 - tail), confidence)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The quantile of sorted values, linear between neighbours.

    >>> quantile([0.0, 1.0, 2.0], 0.25)
    0.5
    """
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    seed: int,
    *,
    draws: int = 2000,
    confidence: float = 0.95,
) -> Interval:
    """The mean of first - second over the same questions, with its bootstrap interval."""
    differences = [a - b for a, b in zip(first, second, strict=True)]
    return bootstrap(differences, seed, draws=draws, confidence=confidence)


@dataclass(frozen=True, slots=True)
class McNemar:
    """The exact McNemar test of two methods on the same questions."""

    only_first: int
    """Questions that only the first method got right."""
    only_second: int
    p: float
    """Two-sided; under the null each disagreement falls either way with chance 1/2."""


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """Compare two methods question by question.

    >>> mcnemar([True] * 5 + [False], [False] * 6).p
    0.0625
    """
    pairs = list(zip(first, second, strict=True))
    a = sum(x and not y for x, y in pairs)
    b = sum(y and not x for x, y in pairs)
    tail = sum(math.comb(a + b, i) for i in range(min(a, b) + 1))
    return McNemar(a, b, min(1.0, 2 * tail / 2 ** (a + b)))
