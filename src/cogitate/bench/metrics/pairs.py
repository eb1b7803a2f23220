"""Two methods on the same questions: the paired difference, its interval and its test."""

from __future__ import annotations

from collections.abc import Sequence

from cogitate.core.errors import InvalidInput
from cogitate.rules.statistics import mcnemar, paired_bootstrap, permutation_test, wilson

from .costs import DRAWS
from .values import Difference

_SAME = 1e-12


def paired(
    first: Sequence[float], second: Sequence[float], seed: int = 0, seeds: tuple[int, ...] = ()
) -> Difference:
    """The mean of first - second, one value a question on each side.

    The interval is a bootstrap over the questions; the test is McNemar's exact one where all values are 0 or 1, and else
    a permutation test that flips the sign of each question's difference. Where no question differs a bootstrap
    sees no doubt, so the interval is then as wide as that many questions allow: Wilson's for none of n, to either side.

    Raises:
        InvalidInput: without questions.

    >>> found = paired([1, 1, 1, 0], [0, 0, 1, 0])
    >>> found.estimate, found.wins, found.losses, found.ties, found.p, found.test
    (0.5, 2, 0, 2, 0.5, 'mcnemar')
    """
    if not first:
        raise InvalidInput("two methods were to be compared that have no question in common")
    spread = paired_bootstrap(first, second, seed, draws=DRAWS, expanded=True)
    differences = [a - b for a, b in zip(first, second, strict=True)]
    low, high, method = spread.low, spread.high, "bootstrap"
    if max(differences) - min(differences) < _SAME:
        room = wilson(0, len(first)).high
        low, high, method = max(-1.0, spread.value - room), min(1.0, spread.value + room), "wilson"
    binary = all(v in (0, 1) for v in (*first, *second))
    return Difference(
        len(first),
        spread.value,
        low,
        high,
        method,
        seeds,
        spread.confidence,
        p=mcnemar([a == 1 for a in first], [b == 1 for b in second]).p
        if binary
        else permutation_test([d if abs(d) > _SAME else 0.0 for d in differences], seed),
        test="mcnemar" if binary else "permutation",
        wins=sum(d > _SAME for d in differences),
        losses=sum(d < -_SAME for d in differences),
        ties=sum(abs(d) <= _SAME for d in differences),
    )
