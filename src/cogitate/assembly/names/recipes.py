"""Systems from papers that a spec may name."""

from __future__ import annotations

from typing import Any, Final

from cogitate.assembly import factory
from cogitate.assembly.factory import A_PROCESS, A_SCORER, A_STEP_SCORER, COUNT, Factory
from cogitate.processes.recalled import Query

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
    `distance`; with coverage=0 no embedder is asked. More than a few clusters need the extra `fit`.
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


@factory.process
def recalled(
    kind: str,
    process: A_PROCESS | None = None,
    problems: int = 3,
    steps: int = 1,
    at_least: float = 0.5,
    at_least_alike: float = 0.7,
    query: Query = "first_try",
    problem_index: str = "problems",
    step_index: str = "steps",
) -> Any:
    """Steps written with like problems and like steps before the eyes; needs a model for `retriever`."""
    from cogitate.processes import Recalled

    return Recalled(
        process if process is not None else reasoning().for_kind(kind),
        problems=problems,
        steps=steps,
        at_least=at_least,
        at_least_alike=at_least_alike,
        query=query,
        problem_index=problem_index,
        step_index=step_index,
    )


@factory.strategy
def r2_llms(
    kind: str,
    iterations: int = 16,
    branch: int = 3,
    depth: int = 12,
    problems: int = 3,
    steps: int = 1,
    at_least: float = 0.5,
    at_least_alike: float = 0.7,
    query: Query = "first_try",
    exploration: float = 1.0,
    scorer: A_STEP_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """Monte Carlo tree search that looks up like problems and like steps; needs a `retriever`.

    `problems` and `steps` are how many of each are shown; 0 turns a level off.
    """
    from cogitate.recipes.r2_llms import r2_llms as composed

    return composed(
        process or reasoning().for_kind(kind),
        scorer if scorer is not None else prm().for_kind(kind),
        problems=problems,
        at_least=at_least,
        steps=steps,
        at_least_alike=at_least_alike,
        query=query,
        iterations=count(iterations, "iterations"),
        branch=count(branch, "branch"),
        depth=count(depth, "depth"),
        exploration=exploration,
        final=final,
    )


@factory.scorer
def scored_vote(kind: str) -> Any:
    """For `final=`: a vote weighted by the scores that the search gave; costs no model call."""
    from cogitate.scorers import ScoredVote

    return ScoredVote()


FACTORIES: Final[tuple[Factory[...], ...]] = (rebase, ets, r2_llms, recalled, scored_vote)
