"""Paper 12, reward-aware compute-optimal scaling: the verifier decides whether search pays."""

from __future__ import annotations

from typing import Final

from .claim import Fault, planned
from .reward_comparisons import beam_first, gain_falls, method_moves, misled, oracle, wordy
from .reward_reductions import (
    constant,
    greedy,
    independent,
    one_chain,
    prunes_at_random,
    reductions,
    reward_aware,
    thresholds,
    ties,
)

CHECKS: Final = (
    reward_aware,
    one_chain,
    greedy,
    independent,
    constant,
    prunes_at_random,
    oracle,
    misled,
    wordy,
    reductions,
    ties,
    thresholds,
    planned(
        "a selector is never worse than the best fixed strategy where it was chosen",
        "table-driven; a learned selector must never be worse on its training fold than the best fixed one",
        "comes with the compute-optimal policy",
        items=(9,),
        kind="exact",
    ),
    gain_falls,
    method_moves,
    beam_first,
)

FAULT: Final = Fault(
    file="search/diverse.py",
    was="first=i * width\n",
    now="first=0\n",
    breaks=("DVTS is independent beams of M, pooled",),
)
