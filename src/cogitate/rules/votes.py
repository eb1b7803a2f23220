"""Votes over classes of equal answers: majority, weighted and best-of, with stated tie rules.

A class is an integer; `None` abstains. Totals are exactly rounded sums, so they do not depend on the
order of the votes. Of the tie rules only `first` does, and it says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Tie = Literal["first", "score", "canonical"]
"""Which of several classes with the same total wins.

`first`: the class whose first vote comes earliest, which depends on the order of the votes;
`score`: the class with the best single score, then the lowest class number;
`canonical`: the lowest class number, which must not depend on order (see `in_canonical_order`).
"""


@dataclass(frozen=True, slots=True)
class ClassVotes:
    """How one class stands."""

    label: int
    votes: int
    total: float
    """What the vote ranks by: votes, summed scores, or the best score."""
    best: float
    """The best single score; 0 where there are no scores."""
    first: int
    """Index of the class's first vote."""


@dataclass(frozen=True, slots=True)
class Tally:
    """The outcome of a vote."""

    standing: tuple[ClassVotes, ...]
    """Every class, best first, ties broken."""
    abstained: int
    """Votes without a class, or without a score where scores count."""
    tie: Tie

    @property
    def winner(self) -> int | None:
        """The winning class; `None` where everyone abstained."""
        return self.standing[0].label if self.standing else None

    @property
    def votes(self) -> int:
        """Votes that were counted."""
        return sum(c.votes for c in self.standing)

    @property
    def leaders(self) -> int:
        """How many classes share the highest total; above 1 the tie rule decided."""
        return sum(c.total == self.standing[0].total for c in self.standing)


def majority(
    classes: Sequence[int | None],
    *,
    tie: Tie = "canonical",
    scores: Sequence[float | None] | None = None,
) -> Tally:
    """The class with the most votes.

    `scores` are read by the tie rule `score` only.

    >>> majority([1, 0, None, 1]).winner
    1
    >>> majority([1, 0]).winner, majority([1, 0], tie="first").winner
    (0, 1)
    """
    held = (
        [0.0] * len(classes)
        if scores is None
        else [s if s is not None else -math.inf for s in scores]
    )
    return _tally(classes, held, lambda found: float(len(found)), tie)


def weighted(
    classes: Sequence[int | None], scores: Sequence[float | None], *, tie: Tie = "canonical"
) -> Tally:
    """The class with the highest sum of scores; a vote without a score abstains.

    Sums of negative scores turn a vote upside down: normalise them first.

    >>> weighted([0, 1, 1], [0.9, 0.5, 0.6]).winner
    1
    """
    return _tally(_scored(classes, scores), _zeroed(scores), _total, tie)


def best_of(
    classes: Sequence[int | None], scores: Sequence[float | None], *, tie: Tie = "canonical"
) -> Tally:
    """The class of the best single score; a vote without a score abstains.

    >>> best_of([0, 1, 1], [0.9, 0.5, 0.6]).winner
    0
    """
    return _tally(_scored(classes, scores), _zeroed(scores), max, tie)


def standing_values(tally: Tally, scale: float = 1.0) -> dict[int, float]:
    """A value for each class that sorts as the tally stands: its total times the scale.

    A class that the tie rule put second has the next lower floating-point number.

    >>> standing_values(majority([1, 0, 1]), 1 / 3)[1]
    0.6666666666666666
    """
    values: dict[int, float] = {}
    above = math.inf
    for found in tally.standing:
        above = min(found.total * scale, math.nextafter(above, -math.inf))
        values[found.label] = above
    return values


def in_canonical_order(
    classes: Sequence[int | None], canonical: Sequence[str | None]
) -> tuple[int | None, ...]:
    """The classes renumbered by their least canonical form, so that numbers do not depend on order.

    >>> in_canonical_order([7, 2, None, 7], ["b", "a", None, "b"])
    (1, 0, None, 1)
    """
    least: dict[int, str] = {}
    for label, form in zip(classes, canonical, strict=True):
        if label is not None:
            least[label] = min(least.get(label, form or ""), form or "")
    rank = {label: i for i, label in enumerate(sorted(least, key=lambda c: (least[c], c)))}
    return tuple(None if label is None else rank[label] for label in classes)


def _scored(classes: Sequence[int | None], scores: Sequence[float | None]) -> list[int | None]:
    return [None if s is None else c for c, s in zip(classes, scores, strict=True)]


def _zeroed(scores: Sequence[float | None]) -> list[float]:
    return [0.0 if s is None else s for s in scores]


def _total(scores: list[float]) -> float:
    return math.fsum(sorted(scores))


def _tally(
    classes: Sequence[int | None],
    scores: Sequence[float],
    total: Callable[[list[float]], float],
    tie: Tie,
) -> Tally:
    if any(math.isnan(s) for s in scores):
        raise ValueError(
            "a vote was asked for with a score that is not a number; leave it out as None"
        )
    found: dict[int, list[float]] = {}
    first: dict[int, int] = {}
    for index, (label, score) in enumerate(zip(classes, scores, strict=True)):
        if label is not None:
            found.setdefault(label, []).append(score)
            first.setdefault(label, index)
    standing = [ClassVotes(c, len(s), total(s), max(s), first[c]) for c, s in found.items()]
    order: dict[Tie, Callable[[ClassVotes], tuple[float, float]]] = {
        "first": lambda c: (c.first, 0),
        "score": lambda c: (-c.best, c.label),
        "canonical": lambda c: (c.label, 0),
    }
    standing.sort(key=lambda c: (-c.total, *order[tie](c)))
    return Tally(tuple(standing), len(classes) - sum(c.votes for c in standing), tie)
