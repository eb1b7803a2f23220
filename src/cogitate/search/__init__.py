"""How to look for good answers: best-of-N, self-consistency, beam, and compositions of strategies."""

from __future__ import annotations

from ._tree_policy import PUCT, UCT, TreePolicy, Widening
from .adaptive_branching import AdaptiveBranching
from .beam import BeamSearch
from .best_of import BestOf
from .compose import Solve, Vote
from .confident import ConfidentVote
from .diverse import DiverseTreeSearch
from .evolution import Evolution, Mating, Tournament, Truncation
from .lookahead import Lookahead
from .mcts import MonteCarloTreeSearch
from .particles import Particles
from .refinement import Refinement
from .reserves import OnAccount, Planned, counts_votes, verifier_grant
from .revision import SequentialRevision
from .rollout import Lost, Rollout, judged, rollout
from .schedules import Constant, Linear, Schedule, Table, at
from .select import SampleK, Selection, TopK, TopKSpread
from .self_consistency import SelfConsistency
from .stages import DONE, Resample, Until

__all__ = [
    "DONE",
    "PUCT",
    "UCT",
    "AdaptiveBranching",
    "BeamSearch",
    "BestOf",
    "ConfidentVote",
    "Constant",
    "DiverseTreeSearch",
    "Evolution",
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
    "Rollout",
    "SampleK",
    "Schedule",
    "Selection",
    "SelfConsistency",
    "SequentialRevision",
    "Solve",
    "Table",
    "TopK",
    "TopKSpread",
    "Tournament",
    "TreePolicy",
    "Truncation",
    "Until",
    "Vote",
    "Widening",
    "at",
    "counts_votes",
    "judged",
    "rollout",
    "verifier_grant",
]
