"""How to look for good answers: best-of-N, self-consistency, beam, and compositions of strategies."""

from __future__ import annotations

from .beam import BeamSearch
from .best_of import BestOf
from .compose import Solve, Vote
from .reserves import OnAccount, Planned, counts_votes, verifier_grant
from .rollout import Lost, Rollout, judged, rollout
from .schedules import Constant, Linear, Schedule, Table, at
from .select import SampleK, Selection, TopK, TopKSpread
from .self_consistency import SelfConsistency

__all__ = [
    "BeamSearch",
    "BestOf",
    "Constant",
    "Linear",
    "Lost",
    "OnAccount",
    "Planned",
    "Rollout",
    "SampleK",
    "Schedule",
    "Selection",
    "SelfConsistency",
    "Solve",
    "Table",
    "TopK",
    "TopKSpread",
    "Vote",
    "at",
    "counts_votes",
    "judged",
    "rollout",
    "verifier_grant",
]
