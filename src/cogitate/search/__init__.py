"""How to look for good answers: best-of-N, self-consistency, beam, and compositions of strategies."""

from __future__ import annotations

from ._tree_policy import PUCT, UCT, TreePolicy, Widening
from .adaptive_branching import AdaptiveBranching
from .balanced import BalancedTreeSearch, KeepAll, KvAwareCover, Retention
from .beam import BeamSearch
from .best_action import Acting, BestAction
from .best_of import BestOf
from .compose import Solve, Vote
from .confident import ConfidentVote
from .diverse import DiverseTreeSearch
from .escalation import Below, Cascade, Doubt, Escalate, Unanswered
from .evolution import Evolution, Mating, Tournament, Truncation
from .fusion import Fusion
from .halving import Rungs, SuccessiveHalving
from .lookahead import Lookahead
from .mcts import MonteCarloTreeSearch
from .particles import Particles
from .refinement import Refinement
from .reserves import OnAccount, Planned, counts_votes, verifier_grant
from .revision import SequentialRevision
from .rollout import Lost, Rollout, judged, rollout
from .routing import ByAgreement, ByKind, Chooser, Route
from .schedules import Constant, Linear, Schedule, Table, at
from .select import SampleK, Selection, TopK, TopKSpread
from .self_consistency import SelfConsistency
from .stages import DONE, Resample, Until
from .streamed import streamed
from .until_good import SampleUntilGood

__all__ = [
    "DONE",
    "PUCT",
    "UCT",
    "Acting",
    "AdaptiveBranching",
    "BalancedTreeSearch",
    "BeamSearch",
    "Below",
    "BestAction",
    "BestOf",
    "ByAgreement",
    "ByKind",
    "Cascade",
    "Chooser",
    "ConfidentVote",
    "Constant",
    "DiverseTreeSearch",
    "Doubt",
    "Escalate",
    "Evolution",
    "Fusion",
    "KeepAll",
    "KvAwareCover",
    "Linear",
    "Lookahead",
    "Lost",
    "Mating",
    "MonteCarloTreeSearch",
    "OnAccount",
    "Particles",
    "Planned",
    "Refinement",
    "Resample",
    "Retention",
    "Rollout",
    "Route",
    "Rungs",
    "SampleK",
    "SampleUntilGood",
    "Schedule",
    "Selection",
    "SelfConsistency",
    "SequentialRevision",
    "Solve",
    "SuccessiveHalving",
    "Table",
    "TopK",
    "TopKSpread",
    "Tournament",
    "TreePolicy",
    "Truncation",
    "Unanswered",
    "Until",
    "Vote",
    "Widening",
    "at",
    "counts_votes",
    "judged",
    "rollout",
    "streamed",
    "verifier_grant",
]
