"""How sure a model was: statistics of the likeliest tokens at each place of a text.

A place is the log-probabilities of its likeliest tokens; those that are no finite numbers are left out,
and a place without any has no statistic (`None`). Everything is linear in the number of tokens.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from typing import Final, Literal, get_args

Reduction = Literal["lowest", "bottom", "tail", "mean"]
"""How the confidences of the tokens become that of the text; see `text_confidence`."""

REDUCTIONS: Final[tuple[Reduction, ...]] = get_args(Reduction)


def token_confidence(likeliest: Sequence[float], top: int) -> float | None:
    """Minus the mean log-probability of the `top` likeliest tokens: high where one token stands out.

    >>> token_confidence([-1.0, -5.0, -9.0], top=2)
    3.0
    """
    logs = heapq.nlargest(top, filter(math.isfinite, likeliest))
    return -math.fsum(logs) / len(logs) if logs else None


def shares(likeliest: Sequence[float], top: int) -> list[float]:
    """The `top` likeliest tokens' probabilities, brought to sum one; highest first.

    >>> shares([-2.0, -2.0, -7.0], top=2)
    [0.5, 0.5]
    """
    logs = heapq.nlargest(top, filter(math.isfinite, likeliest))
    raw = [math.exp(log - logs[0]) for log in logs]
    total = math.fsum(raw)
    return [r / total for r in raw]


def entropy(likeliest: Sequence[float], top: int) -> float | None:
    """Shannon's entropy of the `top` likeliest tokens, in nats; `None` for fewer than two.

    >>> entropy([-1.0, -1.0], top=2) == math.log(2)
    True
    """
    found = shares(likeliest, top)
    if len(found) < 2:
        return None
    return max(0.0, -math.fsum(p * math.log(p) for p in found if p > 0))


def least_entropy(likeliest: Sequence[float], top: int) -> float | None:
    """The min-entropy: minus the log of the likeliest token's share of the `top`; `None` for fewer than two.

    >>> round(least_entropy([math.log(0.6), math.log(0.2)], top=2), 4) == round(-math.log(0.75), 4)
    True
    """
    found = shares(likeliest, top)
    return None if len(found) < 2 else -math.log(found[0])


def group_means(values: Sequence[float], window: int) -> list[float]:
    """The mean of every `window` neighbours, from left to right; of all where there are fewer.

    One pass: a running sum, made anew once a window so that it does not drift. The same sums as those of
    `core.until.ConfidenceBelow`, to the bit.

    >>> group_means([1.0, 3.0, 5.0, 1.0], 2)
    [2.0, 4.0, 3.0]
    >>> group_means([1.0, 3.0], 8)
    [2.0]
    """
    if len(values) <= window:
        return [math.fsum(values) / len(values)] if values else []
    found: list[float] = []
    total = 0.0
    for seen, value in enumerate(values, start=1):
        total += value - (values[seen - window - 1] if seen > window else 0.0)
        if seen % window == 0:
            total = math.fsum(values[seen - window : seen])
        if seen >= window:
            found.append(total / window)
    return found


def text_confidence(
    values: Sequence[float], how: Reduction, *, window: int = 64, share: float = 0.1
) -> float | None:
    """The confidences of a text's tokens as one; `None` where there are none.

    `lowest`: of the least sure group of `window` neighbours; `bottom`: the mean of the `share` of groups
    that are least sure, at least one; `tail`: the mean of the last `window` tokens; `mean`: of all.

    >>> [text_confidence([1.0, 3.0, 5.0, 1.0], how, window=2) for how in REDUCTIONS]
    [2.0, 2.0, 3.0, 2.5]
    """
    if not values:
        return None
    match how:
        case "mean":
            return math.fsum(values) / len(values)
        case "tail":
            tail = values[-window:]
            return math.fsum(tail) / len(tail)
        case "lowest":
            return min(group_means(values, window))
        case "bottom":
            groups = group_means(values, window)
            least = heapq.nsmallest(portion(len(groups), share), groups)
            return math.fsum(least) / len(least)


def portion(count: int, share: float) -> int:
    """How many a share of a count is: rounded up, at least one of any.

    >>> portion(30, 0.1), portion(31, 0.1), portion(3, 0.01), portion(0, 0.5)
    (3, 4, 1, 0)
    """
    return min(count, max(1, math.ceil(share * count - 1e-9)))


def cut_off(values: Sequence[float], share: float) -> float:
    """The value that the highest `share` of the values reach; what is equal to it belongs to them.

    >>> cut_off([5.0, 1.0, 3.0, 4.0, 2.0], 0.4)
    4.0
    """
    return heapq.nlargest(portion(len(values), share), values)[-1]
