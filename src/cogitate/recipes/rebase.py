"""REBASE: reward-balanced tree search."""

from __future__ import annotations

from typing import Any

from cogitate.core.candidates import Artifact
from cogitate.core.protocols import Process, Scorer
from cogitate.scorers import ScoredVote
from cogitate.search import BalancedTreeSearch, Schedule, Solve


def rebase(
    process: Process[Any],
    reward: Scorer[Artifact],
    *,
    width: int | Schedule = 16,
    temperature: float = 0.2,
    depth: int = 25,
    final: Scorer[Artifact] | None = None,
) -> Solve[Any]:
    """Share the width among the leaves by their rewards, and vote with the rewards at the end.

    >>> from cogitate.processes import Reasoning
    >>> from cogitate.scorers import ProcessReward
    >>> rebase(Reasoning(), ProcessReward()).search
    BalancedTreeSearch(width=16, temperature=0.2, depth=25, retain=KeepAll())

    Args:
        process: writes steps.
        reward: judges partial solutions; the newest step's score is the paper's.
        width: continuations sampled at each depth.
        temperature: of the softmax over rewards; 0.2 in the official code of ETS, which runs it as its baseline.
        depth: levels at most; 25 there.
        final: ranks the finished solutions; by default a vote weighted by their rewards.

    Reference:
        @article{wu2024rebase, title={Inference Scaling Laws: An Empirical Analysis of Compute-Optimal Inference
          for Problem-Solving with Language Models}, author={Wu, Yangzhen and others},
          journal={arXiv:2408.00724}, year={2024}}
    """
    search = BalancedTreeSearch(width, temperature, depth)
    return Solve(process, reward, search, final if final is not None else ScoredVote())
