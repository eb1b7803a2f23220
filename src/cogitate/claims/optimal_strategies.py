"""Paper 01: the strategies that its claims compare."""

from __future__ import annotations

from typing import Final

from cogitate.core.protocols import Strategy
from cogitate.processes import Answer, Reasoning
from cogitate.rules.aggregate import Aggregate
from cogitate.scorers import ProcessReward, Weighted
from cogitate.search import BeamSearch, BestOf, Lookahead, SequentialRevision, Solve

PRM: Final = ProcessReward()
WEIGHTED: Final = Weighted(PRM)


def best_of_weighted(n: int, aggregate: Aggregate = "last") -> Strategy:
    """Best-of-N weighted, the paper's selection."""
    return Solve(Answer(), Weighted(ProcessReward(aggregate)), BestOf(n))


def beam(n: int, branch: int = 4) -> Strategy:
    """Beam search with n candidates a depth, of which one in `branch` is kept; the end is weighted.

    As in the paper, equal siblings are not told apart; unlike there, those kept at the end are n / branch.
    """
    return Solve(
        Reasoning(), PRM, BeamSearch(width=n // branch, branch=branch, distinct=False), WEIGHTED
    )


def ahead(n: int, steps: int, branch: int = 4) -> Strategy:
    """Lookahead over such a beam."""
    inner = BeamSearch(width=n // branch, branch=branch, distinct=False)
    return Solve(Reasoning(), PRM, Lookahead(inner, steps), WEIGHTED)


def revisions(n: int, chains: int) -> Strategy:
    """So many chains with n answers in all, chosen within each chain and then among the winners."""
    return Solve(
        Answer(), WEIGHTED, SequentialRevision(n=n // chains, chains=chains, select="chains")
    )
