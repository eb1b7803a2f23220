"""R2-LLMs: tree search that looks up like problems and like steps."""

from __future__ import annotations

from typing import Any

from cogitate.core.candidates import Artifact
from cogitate.core.protocols import Scorer, Search
from cogitate.processes import Recalled
from cogitate.processes.recalled import Hintable, Query
from cogitate.search import UCT, MonteCarloTreeSearch, Solve


def r2_llms(
    process: Hintable[Any],
    reward: Scorer[Artifact],
    *,
    problems: int = 3,
    at_least: float = 0.5,
    steps: int = 1,
    at_least_alike: float = 0.7,
    query: Query = "first_try",
    iterations: int = 16,
    branch: int = 3,
    depth: int = 12,
    exploration: float = 1.0,
    final: Scorer[Artifact] | None = None,
    search: Search | None = None,
) -> Solve[Any]:
    """Monte Carlo tree search over steps, with worked problems at the root and like steps at each node.

    >>> from cogitate.processes import Reasoning
    >>> from cogitate.scorers import ProcessReward
    >>> r2_llms(Reasoning(), ProcessReward()).search.iterations
    16

    Args:
        process: writes steps, and can be shown something for one step.
        reward: values a partial solution by its newest step; no roll-outs are made.
        problems: worked problems in the prompt; 0 turns the coarse level off.
        at_least: cosine of descriptions from which a problem is shown.
        steps: like steps shown at each step; 0 turns the fine level off.
        at_least_alike: score from which a step is shown.
        query: `first_try` looks up a step written without help, `state` what follows the last step.
        iterations: expansions; each makes `branch` children.
        branch: children of a node.
        depth: of the tree.
        exploration: of UCT.
        final: ranks the finished solutions anew; by default their own reward does.
        search: takes the place of the tree search, such as `BestOf(1)`: one chain that remembers.

    Reference:
        @article{dou2025r2llms, title={Enhancing Test-Time Scaling of Large Language Models with Hierarchical
          Retrieval-Augmented MCTS}, author={Dou, Alex ZH and others}, journal={arXiv:2507.05557}, year={2025}}
    Deviates: as `Recalled` says: R2-style, since the paper's text and code could not be read; every default is ours.
        Values are brought to one range by what was seen in the tree, so that exploration means the same under
        any reward.
    """
    remembering = Recalled(
        process,
        problems=problems,
        steps=steps,
        at_least=at_least,
        at_least_alike=at_least_alike,
        query=query,
    )
    grown = MonteCarloTreeSearch(
        iterations=iterations, branch=branch, depth=depth, policy=UCT(exploration)
    )
    return Solve(remembering, reward, search or grown, final)
