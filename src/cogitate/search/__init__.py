"""How to look for good answers: best-of-N, self-consistency, beam, and compositions of strategies."""

from __future__ import annotations

from ._tree_policy import PUCT, UCT, TreePolicy, Widening
from .adaptive_branching import AdaptiveBranching
from .beam import BeamSearch
from .best_of import BestOf
from .compose import Solve, Vote
from .confident import ConfidentVote
from .mcts import MonteCarloTreeSearch
from .reserves import OnAccount, Planned, counts_votes, verifier_grant
from .rollout import Lost, Rollout, judged, rollout
from .schedules import Constant, Linear, Schedule, Table, at
from .select import SampleK, Selection, TopK, TopKSpread
from .self_consistency import SelfConsistency

__all__ = [
    "PUCT",
    "UCT",
    "AdaptiveBranching",
    "BeamSearch",
    "BestOf",
    "ConfidentVote",
    "Constant",
    "Linear",
    "Lost",
    "MonteCarloTreeSearch",
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
    "TreePolicy",
    "Vote",
    "Widening",
    "at",
    "counts_votes",
    "judged",
    "rollout",
    "verifier_grant",
]
