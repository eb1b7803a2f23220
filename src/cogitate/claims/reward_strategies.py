"""Paper 12: the strategies that its claims compare."""

from __future__ import annotations

from typing import Final

from cogitate.core.protocols import Strategy
from cogitate.processes import Answer, Reasoning
from cogitate.scorers import Majority, ProcessReward, step_vote
from cogitate.search import BeamSearch, BestOf, DiverseTreeSearch, Solve

PRM: Final = ProcessReward()
VOTE: Final = step_vote("prm_last_vote", PRM)


def best_of_n(n: int, rule: str = "prm_last_vote") -> Strategy:
    """Best-of-N under one of the seven rules."""
    return Solve(Answer(), step_vote(rule, PRM), BestOf(n))


def beam(n: int, branch: int = 4) -> Strategy:
    """Beam search with n candidates a depth; equal siblings count once, and n / branch are left."""
    return Solve(Reasoning(), PRM, BeamSearch(width=n // branch, branch=branch), VOTE)


def diverse(n: int, branch: int = 4) -> Strategy:
    """Diverse verifier tree search with n / branch trees, whose answers are pooled and voted on."""
    return Solve(Reasoning(), PRM, DiverseTreeSearch(trees=n // branch, branch=branch), VOTE)


def vote(n: int) -> Strategy:
    """Majority over n samples."""
    return Solve(Answer(), Majority(), BestOf(n))


def one() -> Strategy:
    """One chain of thought."""
    return Solve(Reasoning(), PRM, BestOf(1))
