"""How many children each leaf of a tree gets: a width shared out in proportion to softmaxed scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from .selection import softmax

_ROUNDING: Final = 1e-9
"""A share that exceeds a whole number by less than this was meant to be it."""


def balanced(scores: Sequence[float], width: int, temperature: float = 0.2) -> tuple[int, ...]:
    """Children of each leaf; they sum to `width` exactly.

    Leaves are served from the highest score down, of equal ones the later first; each gets its share, rounded
    up, of what is left. So high scores are rounded up and low ones may get nothing. What scores minus infinity,
    or is no number, gets nothing unless all are so.

    >>> balanced([0.9, 0.5, 0.1], 8)
    (7, 1, 0)
    >>> balanced([0.5, 0.5, 0.5], 4)
    (1, 1, 2)

    Raises:
        ValueError: for a negative width, a temperature that is not positive, or no leaf to take the width.

    Reference: the weighting of REBASE, arXiv:2408.00724.
    """
    if width < 0 or not temperature > 0 or (width and not scores):
        raise ValueError(
            f"a width of {width} at temperature {temperature} was asked for over {len(scores)} leaves; the width "
            "is at least 0, the temperature positive, and there is a leaf to take it"
        )
    weights = softmax(scores, temperature)
    places = sorted(range(len(scores)), key=lambda i: (weights[i], i), reverse=True)
    # Sums from the tail: taking weights off one after the other leaves rounding errors where nothing should be.
    rest = 0.0
    tails = [0.0] * len(places)
    for at in range(len(places) - 1, -1, -1):
        rest += weights[places[at]]
        tails[at] = rest
    counts = [0] * len(scores)
    left = width
    for at, place in enumerate(places):
        if not left or weights[place] <= 0:
            break
        last = at + 1 == len(places) or weights[places[at + 1]] <= 0
        share = left if last else math.ceil(left * weights[place] / tails[at] - _ROUNDING)
        counts[place] = min(left, share)
        left -= counts[place]
    return tuple(counts)
