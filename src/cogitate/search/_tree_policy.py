"""How a tree search weighs its children and how wide a node may grow: thin adapters of the rules."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cogitate.core.errors import InvalidInput
from cogitate.rules.bandits import puct, uct, widened
from cogitate.rules.selection import softmax


class TreePolicy(Protocol):
    """Weighs the children of a node; the search goes into the heaviest, ties to the earlier.

    `values` are those backed up and `firsts` what each child scored when it was made, both brought
    between 0 and 1 by the range seen in the tree. `total` counts the visits of the node.
    """

    def __call__(
        self, values: Sequence[float], visits: Sequence[int], total: int, firsts: Sequence[float]
    ) -> Sequence[float]: ...


@dataclass(frozen=True)
class UCT:
    """Value and what is not yet known of it, for trees; 0 exploration is greedy.

    >>> UCT(exploration=0.5)
    UCT(exploration=0.5)
    """

    exploration: float = math.sqrt(2)

    def __post_init__(self) -> None:
        _check("exploration", self.exploration)

    def __call__(
        self, values: Sequence[float], visits: Sequence[int], total: int, firsts: Sequence[float]
    ) -> Sequence[float]:
        return uct(values, visits, total, self.exploration)


@dataclass(frozen=True)
class PUCT:
    """The same led by a prior: the softmax of what the children scored first, or equal shares.

    >>> PUCT(exploration=1.0, temperature=None)
    PUCT(exploration=1.0, temperature=None)
    """

    exploration: float = 1.5
    temperature: float | None = 0.25
    """Of the softmax over scores between 0 and 1; `None` for equal shares."""

    def __post_init__(self) -> None:
        _check("exploration", self.exploration)
        if self.temperature is not None:
            _check("temperature", self.temperature)

    def __call__(
        self, values: Sequence[float], visits: Sequence[int], total: int, firsts: Sequence[float]
    ) -> Sequence[float]:
        if self.temperature is None:
            priors = [1 / len(values)] * len(values)
        else:
            priors = softmax(firsts, self.temperature)
        return puct(values, visits, total, priors, self.exploration)


@dataclass(frozen=True)
class Widening:
    """Progressive widening: a node of n visits may have factor * n ** power children.

    A node below which nothing is left to do grows one child more all the same.

    >>> Widening(factor=2.0).limit(9)
    6
    """

    factor: float = 1.0
    power: float = 0.5

    def __post_init__(self) -> None:
        if not (0 < self.factor < math.inf and 0 <= self.power <= 1):
            raise InvalidInput(
                f"a widening of factor {self.factor:g} and power {self.power:g} was asked for; the factor "
                "must be above 0, the power lie between 0 and 1"
            )

    def limit(self, visits: int) -> int:
        """The children that a node of so many visits may have."""
        return widened(visits, self.factor, self.power)


def _check(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise InvalidInput(f"{name}={value:g} was asked for; it must be a number of at least 0")
