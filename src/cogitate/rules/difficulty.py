"""How hard a question is for a model: bins among other questions, and absolute levels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Level = Literal["easy", "medium", "hard"]

EASY: Final = 0.5
"""Chance of a right sample from which on a question is easy."""
MEDIUM: Final = 0.1
"""Chance from which on it is of medium difficulty; below it is hard."""


def quantile_bins(chances: Mapping[str, float], bins: int = 5) -> dict[str, int]:
    """The bin of each question, from 1 for the easiest; sizes differ by at most one.

    Questions are ordered by falling chance, equal ones by their id, so the bins do not depend on the order in
    which they are given. They do depend on the other questions: a bin is no property of a question.

    >>> quantile_bins({"a": 0.1, "b": 0.9, "c": 0.5, "d": 0.5}, bins=2)
    {'b': 1, 'c': 1, 'd': 2, 'a': 2}

    Raises:
        ValueError: for fewer than one bin.

    Reference:
        @misc{snell2024scaling, title={Scaling {LLM} Test-Time Compute Optimally can be More Effective than
          Scaling Model Parameters}, author={Snell, Charlie and others}, year={2024}, eprint={2408.03314}}
    """
    if bins < 1:
        raise ValueError(f"{bins} bins were asked for; there is at least 1")
    order = sorted(chances, key=lambda id: (-chances[id], id))
    return {id: 1 + place * bins // len(order) for place, id in enumerate(order)}


def level(chance: float) -> Level:
    """The absolute difficulty for a model that is right with this chance: hard < 0.1 <= medium < 0.5 <= easy.

    >>> level(0.5), level(0.1), level(0.0999)
    ('easy', 'medium', 'hard')

    Raises:
        ValueError: for what is no chance.

    Reference:
        @article{liu2025can, title={Can 1B LLM Surpass 405B LLM? Rethinking Compute-Optimal Test-Time
          Scaling}, author={Liu, Runze and others}, journal={arXiv:2502.06703}, year={2025}}
    Deviates: the paper does not say to which side 0.1 and 0.5 themselves belong.
    """
    if not 0 <= chance <= 1:
        raise ValueError(f"the chance {chance} was given; it lies between 0 and 1")
    return "easy" if chance >= EASY else "medium" if chance >= MEDIUM else "hard"
