"""More scorers that a spec may name: outcome models, confidence, embeddings, tool calls, combinations."""

from __future__ import annotations

from typing import Any, Final, Literal

from cogitate.assembly import factory
from cogitate.assembly.factory import A_PROCESS, A_SCORER, Factory
from cogitate.rules.aggregate import Normalise
from cogitate.rules.clustering import Linkage
from cogitate.rules.confidence import Reduction

from .defaults import solve
from .parts import count
from .processes import answer
from .scorers import judge, majority, prm


@factory.scorer
def orm(kind: str) -> Any:
    """An outcome reward model's score of the whole solution; needs a model for `verifier`."""
    from cogitate.scorers import OutcomeReward

    return OutcomeReward()


@factory.scorer
def confidence(
    kind: str, reduction: Reduction = "lowest", window: int = 64, top: int = 5, share: float = 0.1
) -> Any:
    """How sure the model was of the least sure part of its words; costs no model call.

    `lowest` group of `window` tokens, `bottom` share of groups, `tail`, or `mean` of all.
    """
    from cogitate.scorers import Confidence

    return Confidence(reduction, count(window, "window"), top, share)


@factory.scorer
def entropy(
    kind: str,
    top: int = 5,
    over: Literal["mean", "highest", "lowest"] = "mean",
    order: Literal["shannon", "min"] = "shannon",
) -> Any:
    """How undecided the model was between its likeliest tokens; costs no model call."""
    from cogitate.scorers import Entropy

    return Entropy(top, over, order)


@factory.scorer
def perplexity(kind: str) -> Any:
    """The inverse of the perplexity of the candidate's tokens; costs no model call."""
    from cogitate.scorers import Perplexity

    return Perplexity()


@factory.scorer
def keep_top(kind: str, scorer: A_SCORER | None = None, share: float = 0.5) -> Any:
    """Only the best-scored share of candidates has a say; by the model's confidence by default."""
    from cogitate.scorers import KeepTop

    return KeepTop(scorer if scorer is not None else confidence().for_kind(kind), share)


@factory.scorer
def medoid(kind: str, of: Literal["text", "answer", "step"] = "text") -> Any:
    """The candidate most like all the others, by embeddings; needs a model for `embedder`."""
    from cogitate.scorers import Medoid

    return Medoid(of)


@factory.scorer
def clusters(
    kind: str,
    distance: float = 0.15,
    linkage: Linkage = "average",
    of: Literal["text", "answer", "step"] = "text",
) -> Any:
    """A vote of free texts that mean nearly the same; needs a model for `embedder`."""
    from cogitate.scorers import Clusters

    return Clusters(distance, linkage, of)


@factory.scorer
def clustered(
    kind: str,
    scorer: A_SCORER | None = None,
    distance: float = 0.05,
    linkage: Linkage = "average",
    of: Literal["text", "answer", "step"] = "step",
) -> Any:
    """Another scorer's scores, with the cluster of each candidate's newest step as a feature."""
    from cogitate.scorers import Clustered

    inner = scorer if scorer is not None else prm().for_kind(kind)
    return Clustered(inner, distance, linkage, of)


@factory.scorer
def tool_calls(kind: str, exclude: tuple[str, ...] = (), hierarchical: bool = False) -> Any:
    """The most frequent tool call, without the excluded arguments; costs no model call.

    `hierarchical` votes on the tool first, and then on its arguments.
    """
    from cogitate.scorers import ToolCallVote

    return ToolCallVote(exclude, hierarchical)


@factory.scorer
def all_of(
    kind: str,
    scorers: tuple[A_SCORER, ...] = (),
    mark: float | None = None,
    normalise: Normalise = "none",
    missing: Literal["abstain", "leave_out"] = "abstain",
) -> Any:
    """As good as the worst of several scorers; with `mark`, all must reach it.

    By default a vote and a judge.
    """
    from cogitate.scorers import AllOf

    parts = scorers or _both(kind)
    return AllOf(parts, _marks(mark, parts), normalise, missing)


@factory.scorer
def any_of(
    kind: str,
    scorers: tuple[A_SCORER, ...] = (),
    mark: float | None = None,
    normalise: Normalise = "none",
    missing: Literal["abstain", "leave_out"] = "abstain",
) -> Any:
    """As good as the best of several scorers; with `mark`, one must reach it.

    By default a vote and a judge.
    """
    from cogitate.scorers import AnyOf

    parts = scorers or _both(kind)
    return AnyOf(parts, _marks(mark, parts), normalise, missing)


@factory.scorer
def ensemble(
    kind: str,
    scorers: tuple[A_SCORER, ...] = (),
    weights: tuple[float, ...] = (),
    normalise: Normalise = "rank",
    missing: Literal["abstain", "leave_out"] = "abstain",
) -> Any:
    """The weighted mean of several scorers on one scale.

    By default a vote and a judge.
    """
    from cogitate.scorers import Ensemble

    return Ensemble(scorers or _both(kind), weights, normalise, missing)


@factory.strategy
def confident_vote(
    kind: str,
    n: int = 32,
    warmup: int = 8,
    keep: float = 0.9,
    consensus: float = 0.95,
    window: int = 64,
    top: int = 5,
    process: A_PROCESS | None = None,
) -> Any:
    """A confidence-weighted vote that gives doubtful samples up while they are written.

    The first `warmup` samples set the threshold that `keep` of them reach; it stops once the share
    `consensus` of the vote agrees.
    """
    from cogitate.scorers import Confidence, Weighted
    from cogitate.search import ConfidentVote

    search = ConfidentVote(
        count(n, "n"), count(warmup, "warmup"), keep, consensus, count(window, "window"), top
    )
    scorer = Weighted(Confidence("lowest", window, top))
    return solve(kind, process or answer().for_kind(kind), scorer, search)


def _both(kind: str) -> tuple[Any, ...]:
    return (majority().for_kind(kind), judge().for_kind(kind))


def _marks(mark: float | None, parts: tuple[Any, ...]) -> tuple[float, ...]:
    return () if mark is None else (mark,) * len(parts)


FACTORIES: Final[tuple[Factory[...], ...]] = (
    orm,
    confidence,
    entropy,
    perplexity,
    keep_top,
    medoid,
    clusters,
    clustered,
    tool_calls,
    all_of,
    any_of,
    ensemble,
    confident_vote,
)
