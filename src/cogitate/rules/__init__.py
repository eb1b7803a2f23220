"""Pure decisions on plain values: votes, stopping, selection, statistics, canonical answers."""

from __future__ import annotations

from .aggregate import AGGREGATES, WITHOUT_STEPS, Aggregate, Normalise, aggregate, normalised
from .bandits import (
    Belief,
    BetaBelief,
    Moments,
    NormalBelief,
    Span,
    puct,
    thompson,
    ucb1,
    uct,
    widened,
    wider_or_deeper,
)
from .canonical import canonical, classes, matches, undecided
from .extraction import extract
from .scaling import scaling_slope, share_within
from .selection import order, sample_k, softmax, top_k, top_k_spread
from .statistics import (
    Interval,
    McNemar,
    bootstrap,
    mcnemar,
    paired_bootstrap,
    pass_at_k,
    quantile,
    wilson,
)
from .stopping import further_votes, is_decided, posterior_lead
from .subsampling import (
    Expected,
    expected,
    expected_best_of,
    expected_majority,
    expected_vote,
)
from .votes import (
    ClassVotes,
    Tally,
    Tie,
    best_of,
    in_canonical_order,
    majority,
    standing_values,
    weighted,
)

__all__ = [
    "AGGREGATES",
    "WITHOUT_STEPS",
    "Aggregate",
    "Belief",
    "BetaBelief",
    "ClassVotes",
    "Expected",
    "Interval",
    "McNemar",
    "Moments",
    "NormalBelief",
    "Normalise",
    "Span",
    "Tally",
    "Tie",
    "aggregate",
    "best_of",
    "bootstrap",
    "canonical",
    "classes",
    "expected",
    "expected_best_of",
    "expected_majority",
    "expected_vote",
    "extract",
    "further_votes",
    "in_canonical_order",
    "is_decided",
    "majority",
    "matches",
    "mcnemar",
    "normalised",
    "order",
    "paired_bootstrap",
    "pass_at_k",
    "posterior_lead",
    "puct",
    "quantile",
    "sample_k",
    "scaling_slope",
    "share_within",
    "softmax",
    "standing_values",
    "thompson",
    "top_k",
    "top_k_spread",
    "ucb1",
    "uct",
    "undecided",
    "weighted",
    "widened",
    "wider_or_deeper",
    "wilson",
]
