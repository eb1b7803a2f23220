"""Paper 01, compute-optimal scaling: how far search, votes and revisions go, by difficulty and budget."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from .claim import Fault, planned
from .optimal_comparisons import (
    easy_is_sequential,
    hard_is_mixed,
    last_not_least,
    last_not_product,
    monotone,
    over_optimised,
    pays_where_hard,
    small_searches,
)
from .optimal_reductions import (
    beam_reduces,
    bins,
    costs,
    efficiency,
    exchange,
    hierarchy,
    lookahead_reduces,
    revision_costs,
    unparsable,
    votes_reduce,
)


def _policy(name: str, expected: str, items: Sequence[int]) -> Any:
    return planned(name, expected, "comes with the compute-optimal policy", items=tuple(items))


CHECKS: Final = (
    votes_reduce,
    unparsable,
    beam_reduces,
    lookahead_reduces,
    costs,
    revision_costs,
    monotone,
    over_optimised,
    small_searches,
    pays_where_hard,
    last_not_least,
    last_not_product,
    planned(
        "a trained process reward model is calibrated",
        "trained value matches true prefix success within sampling error",
        "comes with the training of reward models",
        items=(5,),
        side="training",
    ),
    bins,
    _policy(
        "nothing leaks into the held-out fold",
        "permuting labels within a bin gives no gain over the best fixed strategy in expectation",
        [7],
    ),
    _policy(
        "the compute-optimal policy is as good as every fixed strategy",
        "≥ each fixed strategy on the selection fold; on the held-out fold within noise or better",
        [8],
    ),
    hierarchy,
    planned(
        "revisions are trained on the nearest wrong answer",
        "last context answer is the edit-distance minimiser; 0..4 context answers; targets are correct",
        "comes with the training of revision models",
        items=(10,),
        side="training",
        kind="exact",
    ),
    exchange,
    easy_is_sequential,
    hard_is_mixed,
    efficiency,
)

FAULT: Final = Fault(
    file="search/lookahead.py",
    was="            for step in range(self.steps):\n",
    now="            for step in range(self.steps + 1):\n",
    breaks=("searches cost what they say",),
)
