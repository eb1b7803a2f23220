"""ETS: efficient tree search, which shares the key-value cache among what it keeps."""

from __future__ import annotations

from typing import Any

from cogitate.core.candidates import Artifact
from cogitate.core.protocols import Process, Scorer
from cogitate.scorers import Clustered, ScoredVote
from cogitate.search import BalancedTreeSearch, KvAwareCover, Schedule, Solve


def ets(
    process: Process[Any],
    reward: Scorer[Artifact],
    *,
    width: int | Schedule = 16,
    cost: float = 1.0,
    coverage: float = 1.5,
    distance: float = 0.05,
    temperature: float = 0.2,
    depth: int = 25,
    final: Scorer[Artifact] | None = None,
) -> Solve[Any]:
    """REBASE whose tree is pruned at each depth by an exact trade of weight, nodes and meanings.

    >>> from cogitate.processes import Reasoning
    >>> from cogitate.scorers import ProcessReward
    >>> ets(Reasoning(), ProcessReward(), width=64, coverage=1.4).search.retain
    KvAwareCover(cost=1.0, coverage=1.4, solver_nodes=10000)

    Args:
        process: writes steps.
        reward: judges partial solutions; the newest step's score is the paper's.
        width: continuations sampled at each depth; 16, 64 and 256 in the official code.
        cost: worth of all nodes of the tree; 1.0 there for every width.
        coverage: worth of all clusters; there 1.5, 1.4 and 1.45 for the three widths. 0 needs no embedder.
        distance: cosine distance within which newest steps mean the same; 0.05 there, with average linkage.
        temperature: of the softmax over rewards; 0.2 there.
        depth: levels at most; 25 there.
        final: ranks the finished solutions; by default a vote weighted by their rewards.

    Reference:
        @article{hooper2025ets, title={ETS: Efficient Tree Search for Inference-Time Scaling},
          author={Hooper, Coleman and others}, journal={arXiv:2502.13575}, year={2025}}
    Deviates: as `KvAwareCover` and `BalancedTreeSearch` say.
    """
    seen = Clustered(reward, distance) if coverage else reward
    search = BalancedTreeSearch(width, temperature, depth, KvAwareCover(cost, coverage))
    return Solve(process, seen, search, final if final is not None else ScoredVote())
