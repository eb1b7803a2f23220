"""Systems from papers that a spec may name."""

from __future__ import annotations

from typing import Any, Final

from cogitate.assembly import factory
from cogitate.assembly.factory import A_PROCESS, A_SCORER, A_STEP_SCORER, COUNT, Factory

from .parts import count, counted
from .processes import reasoning
from .scorers import prm


@factory.strategy
def rebase(
    kind: str,
    width: COUNT = 16,
    temperature: float = 0.2,
    depth: int = 25,
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """REBASE: a width of continuations, shared among partial answers by their scores.

    `final` ranks the finished answers; by default a vote weighted by their scores.
    """
    from cogitate.recipes.rebase import rebase as composed

    return composed(
        process or reasoning().for_kind(kind),
        scorer if scorer is not None else prm().for_kind(kind),
        width=counted(width, "width"),
        temperature=temperature,
        depth=count(depth, "depth"),
        final=final,
    )


@factory.strategy
def ets(
    kind: str,
    width: COUNT = 16,
    cost: float = 1.0,
    coverage: float = 1.5,
    distance: float = 0.05,
    temperature: float = 0.2,
    depth: int = 25,
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """ETS: REBASE on a tree pruned so that siblings share their cache; needs a model for `embedder`.

    `cost` is the worth of all nodes, `coverage` that of all meanings, which are clusters of newest steps within
    `distance`; with coverage=0 no embedder is asked.
    """
    from cogitate.recipes.ets import ets as composed

    return composed(
        process or reasoning().for_kind(kind),
        scorer if scorer is not None else prm().for_kind(kind),
        width=counted(width, "width"),
        cost=cost,
        coverage=coverage,
        distance=distance,
        temperature=temperature,
        depth=count(depth, "depth"),
        final=final,
    )


@factory.scorer
def scored_vote(kind: str) -> Any:
    """For `final=`: a vote weighted by the scores that the search gave; costs no model call."""
    from cogitate.scorers import ScoredVote

    return ScoredVote()


FACTORIES: Final[tuple[Factory[...], ...]] = (rebase, ets, scored_vote)
