"""What compute at inference is worth: against a larger model, and against another method."""

from __future__ import annotations

import math
from collections.abc import Sequence


def lifetime_flops(parameters: float, pretraining: float, inference: float) -> float:
    """6 parameters x tokens of pre-training and 2 parameters x tokens of inference.

    >>> lifetime_flops(1e9, 100.0, 10.0)
    620000000000.0
    """
    return 6 * parameters * pretraining + 2 * parameters * inference


def inference_multiplier(times: float, pretraining: float, inference: float) -> float:
    """How many times its inference tokens a model may spend for the compute of one `times` as large.

    Both are trained on as many tokens: M + 3 (M - 1) D_pre / D_inf.

    >>> inference_multiplier(14, pretraining=100.0, inference=79.0) > inference_multiplier(14, 1.0, 22.0)
    True

    Raises:
        ValueError: for a smaller "larger" model, or no inference.

    Reference:
        @misc{snell2024scaling, title={Scaling {LLM} Test-Time Compute Optimally can be More Effective than
          Scaling Model Parameters}, author={Snell, Charlie and others}, year={2024}, eprint={2408.03314}}
    """
    if times < 1 or pretraining < 0 or inference <= 0:
        raise ValueError(
            f"a model {times} times as large with {pretraining} and {inference} tokens was given; it must be "
            "at least as large, with some tokens of inference"
        )
    return times + 3 * (times - 1) * pretraining / inference


def efficiency_factor(
    budget: float, accuracy: float, curve: Sequence[tuple[float, float]]
) -> float | None:
    """How many times less a method needs to be as accurate as another is at `budget`.

    The least budget at which its curve of (budget, accuracy) reaches `accuracy`, linear in the logarithm of the
    budget between points, goes into `budget`. `None` where it never reaches it. A curve that
    begins above gives its first budget: the factor is then at least so much.

    >>> efficiency_factor(64, 0.5, [(4, 0.3), (16, 0.5), (64, 0.6)])
    4.0

    Raises:
        ValueError: for budgets that are not positive.
    """
    points = sorted(curve)
    if budget <= 0 or any(spent <= 0 for spent, _ in points):
        raise ValueError("an efficiency was asked for with a budget that is not positive")
    before: tuple[float, float] | None = None
    for spent, reached in points:
        if reached >= accuracy:
            if before is None:
                return budget / spent
            share = (accuracy - before[1]) / (reached - before[1])
            between = math.log(before[0]) + share * (math.log(spent) - math.log(before[0]))
            return budget / spent if share == 1 else budget / math.exp(between)
        before = (spent, reached)
    return None
