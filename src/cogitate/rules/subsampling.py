"""Accuracy at N from a pool of samples: every subset of N counts alike, never the first N.

Taking the first N of a pool has the variance of a single draw; the mean over all subsets is the
unbiased estimate of the same number. It is exact wherever a closed form or enumeration is feasible,
and otherwise a mean over seeded random subsets that says its own standard error.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from .chance import generator, subset
from .votes import Tally, Tie, best_of, majority, weighted


@dataclass(frozen=True, slots=True)
class Expected:
    """A mean over subsets of a pool."""

    value: float
    error: float = 0.0
    """Standard error of the subsampling alone; 0 where exact."""
    subsets: int = 0
    """Subsets looked at; 0 for a closed form."""


def expected(
    size: int,
    n: int,
    outcome: Callable[[tuple[int, ...]], float],
    seed: int,
    *,
    at_most: int = 5000,
    draws: int = 1000,
) -> Expected:
    """The mean of `outcome` over the subsets of n of `size` samples, given as indices in the order drawn.

    All of them where there are at most `at_most`, in random order each; else `draws` at random.

    >>> expected(4, 2, lambda chosen: float(0 in chosen), seed=0)
    Expected(value=0.5, error=0.0, subsets=6)
    """
    _check(size, n)
    draw = generator(seed)
    if math.comb(size, n) <= at_most:
        seen = [outcome(tuple(draw.sample(c, n))) for c in itertools.combinations(range(size), n)]
        return Expected(math.fsum(seen) / len(seen), 0.0, len(seen))
    seen = [outcome(subset(size, n, draw)) for _ in range(draws)]
    mean = math.fsum(seen) / draws
    spread = math.fsum((s - mean) ** 2 for s in seen) / max(1, draws - 1)
    return Expected(mean, math.sqrt(spread / draws), draws)


def expected_best_of(correct: Sequence[bool], scores: Sequence[float | None], n: int) -> Expected:
    """The chance that the best-scored of n samples is correct, exactly; ties fall at random.

    With the pool sorted by score, the subsets whose best lies in one group of equal scores are those
    within the first groups less those within the groups below. No score ranks below every score.

    >>> expected_best_of([True, False, False], [0.9, 0.5, 0.1], 2).value  # 2 of 3 pairs hold the first
    0.6666666666666666
    """
    size = len(correct)
    _check(size, n)
    groups: dict[float, list[bool]] = {}
    for right, score in zip(correct, scores, strict=True):
        groups.setdefault(-math.inf if score is None else score, []).append(right)
    below, total = 0, 0.0
    for score in sorted(groups):
        members = groups[score]
        ways = math.comb(below + len(members), n) - math.comb(below, n)
        total += (ways / math.comb(size, n)) * (sum(members) / len(members))
        below += len(members)
    return Expected(total)


def expected_majority(
    classes: Sequence[int | None], correct: Sequence[bool], n: int, *, tie: Tie = "canonical"
) -> Expected:
    """The chance that the majority of n samples is correct, exactly.

    For every class and every number of votes it may win with, the ways in which the rest fall are
    counted by polynomials (abstentions included), so no subset is enumerated. Ties by `first` fall
    alike on all tied classes, because every order of a subset is alike. A subset in which everyone
    abstains is wrong, and within a class the mean correctness counts.

    Raises:
        ValueError: for the tie rule `score`, which has no closed form; use `expected`.

    >>> expected_majority([0, 0, 0, 1, 1], [True] * 3 + [False] * 2, 3).value
    0.7
    """
    if tie == "score":
        raise ValueError(
            "a majority with ties by score was asked for in closed form; use `expected`"
        )
    size = len(classes)
    _check(size, n)
    members: dict[int, list[bool]] = {}
    for label, right in zip(classes, correct, strict=True):
        if label is not None:
            members.setdefault(label, []).append(right)
    abstainers = size - sum(len(m) for m in members.values())
    total = 0.0
    for label, rights in members.items():
        share = sum(rights) / len(rights)
        if share:
            rivals = [(other, len(m)) for other, m in members.items() if other != label]
            total += (
                share * _wins(label, len(rights), rivals, abstainers, n, tie) / math.comb(size, n)
            )
    return Expected(total)


def _wins(
    label: int, members: int, rivals: Sequence[tuple[int, int]], abstainers: int, n: int, tie: Tie
) -> float:
    """Subsets of n in which this class wins; a tie by `first` counts as one over the tied.

    Polynomials are whole numbers whose digits are the coefficients, so that one product of whole numbers takes in a
    rival; a digit counts subsets, so it has a bit for each sample and cannot run over.
    """
    bits = abstainers + members + sum(size for _, size in rivals) + 1
    won = 0.0
    for votes in range(1, min(members, n) + 1):
        room = n - votes + 1
        within = (1 << bits * room) - 1
        # ways[tied]: how the other votes can fall with so many rivals at the same count, by their number
        ways = [_digits(abstainers, room, bits)]
        for other, size in rivals:
            below = _digits(size, min(votes, room), bits)
            grown = [w * below & within for w in ways]
            if tie == "first" or label < other:
                level = math.comb(size, votes) << bits * votes
                if tie == "first" and level:
                    grown.append(0)
                    for tied, w in enumerate(ways):
                        grown[tied + 1] += w * level & within
                elif level:
                    grown[0] += ways[0] * level & within
            ways = grown
        outcomes = sum((w >> bits * (n - votes)) / (tied + 1) for tied, w in enumerate(ways))
        won += math.comb(members, votes) * outcomes
    return won


def _digits(size: int, count: int, bits: int) -> int:
    """The first `count` binomials of a size, each a digit of so many bits."""
    return sum(math.comb(size, j) << bits * j for j in range(min(size + 1, count)))


def expected_vote(
    classes: Sequence[int | None],
    correct: Sequence[bool],
    n: int,
    seed: int,
    *,
    scores: Sequence[float | None] | None = None,
    rule: str = "weighted",
    tie: Tie = "canonical",
    at_most: int = 5000,
    draws: int = 1000,
) -> Expected:
    """Accuracy of a vote of n samples over subsets of the pool; `rule` is majority, weighted or best_of.

    A winning class is correct where its first member in the subset is.
    """
    rules: dict[str, Callable[[list[int | None], list[float | None]], Tally]] = {
        "majority": lambda c, s: majority(c, tie=tie, scores=s),
        "weighted": lambda c, s: weighted(c, s, tie=tie),
        "best_of": lambda c, s: best_of(c, s, tie=tie),
    }
    if rule not in rules:
        raise ValueError(f"the vote {rule!r} was asked for; the votes are {', '.join(rules)}")
    held: Sequence[float | None] = [0.0] * len(classes) if scores is None else scores

    def outcome(chosen: tuple[int, ...]) -> float:
        tally = rules[rule]([classes[i] for i in chosen], [held[i] for i in chosen])
        return 0.0 if not tally.standing else float(correct[chosen[tally.standing[0].first]])

    return expected(len(classes), n, outcome, seed, at_most=at_most, draws=draws)


def _check(size: int, n: int) -> None:
    if not 1 <= n <= size:
        raise ValueError(
            f"subsets of {n} were asked for of a pool of {size}; n lies between 1 and that"
        )
