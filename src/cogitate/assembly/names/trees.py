"""The tree searches that a spec may name."""

from __future__ import annotations

from typing import Any, Final, Literal

from cogitate.assembly import factory
from cogitate.assembly.factory import A_PROCESS, A_SCORER, A_STEP_SCORER, COUNT, Factory

from .defaults import solve_alone
from .parts import count, counted
from .processes import answer, reasoning


@factory.strategy
def mcts(
    kind: str,
    iterations: int = 32,
    branch: COUNT = 4,
    depth: int = 16,
    policy: Literal["uct", "puct"] = "uct",
    exploration: float = 0.5,
    backup: Literal["mean", "max"] = "mean",
    widening: float = 0.0,
    at_once: bool = True,
    to_the_end: bool = False,
    together: int = 1,
    ordered: bool = True,
    rank: Literal["value", "visits"] = "value",
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """Monte Carlo tree search: grow where visits and scores say that it pays.

    With `widening` above 0 a node of n visits has up to widening * sqrt(n) children, whatever `branch`
    says. `puct` is led by the scores of new states, `at_once` makes all children of a node together, and
    `to_the_end` scores a line to the end in the place of a partial answer.
    """
    from cogitate.search import PUCT, UCT, MonteCarloTreeSearch, Widening

    search = MonteCarloTreeSearch(
        count(iterations, "iterations"),
        Widening(widening) if widening else counted(branch, "branch"),
        count(depth, "depth"),
        UCT(exploration) if policy == "uct" else PUCT(exploration),
        backup,
        at_once,
        to_the_end,
        count(together, "together"),
        ordered,
        rank,
    )
    return solve_alone(kind, process or reasoning().for_kind(kind), scorer, search, final)


@factory.strategy
def adaptive_branching(
    kind: str,
    iterations: int = 32,
    grow: Literal["revise", "step"] = "revise",
    depth: int = 16,
    belief: Literal["normal", "beta"] = "normal",
    bounds: Literal["seen", "unit"] = "seen",
    together: int = 1,
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """Wider or deeper at each node, by Thompson sampling; no branching factor.

    `revise` makes whole answers and revises them; `step` grows partial answers step by step. `bounds` is
    the range of the scorer: what was `seen` so far, or from 0 to 1.
    """
    from cogitate.rules import BetaBelief, NormalBelief
    from cogitate.search import AdaptiveBranching

    search = AdaptiveBranching(
        count(iterations, "iterations"),
        grow,
        count(depth, "depth"),
        BetaBelief() if belief == "beta" else NormalBelief(),
        (0.0, 1.0) if bounds == "unit" else None,
        count(together, "together"),
    )
    usual = reasoning() if grow == "step" else answer()
    return solve_alone(kind, process or usual.for_kind(kind), scorer, search, final)


FACTORIES: Final[tuple[Factory[...], ...]] = (mcts, adaptive_branching)
