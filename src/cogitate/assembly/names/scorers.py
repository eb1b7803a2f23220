"""The scorers that a spec may name: votes, reward models, judges, the model's own confidence."""

from __future__ import annotations

from typing import Any, Final, Literal

from cogitate.assembly import factory
from cogitate.assembly.factory import A_SCORER, Factory
from cogitate.rules.aggregate import Aggregate, Normalise

from .parts import criteria_of


@factory.scorer
def majority(kind: str, tie: Literal["canonical", "first"] = "canonical") -> Any:
    """The most frequent answer wins; costs no model call."""
    from cogitate.scorers import Majority

    return Majority(tie=tie)


@factory.scorer
def weighted(
    kind: str,
    scorer: A_SCORER | None = None,
    normalise: Normalise | Literal["auto"] = "auto",
) -> Any:
    """The answer whose candidates have the highest scores in sum; a judge scores them by default."""
    from cogitate.scorers import Weighted

    return Weighted(scorer if scorer is not None else judge().for_kind(kind), normalise=normalise)


@factory.scorer
def prm(kind: str, aggregate: Aggregate = "last") -> Any:
    """A process reward model's scores of the steps, reduced to one; needs a model for `verifier`."""
    from cogitate.scorers import ProcessReward

    return ProcessReward(aggregate)


@factory.scorer
def step_vote(
    kind: str,
    rule: Literal[
        "majority_vote",
        "prm_avg_max",
        "prm_avg_vote",
        "prm_last_max",
        "prm_last_vote",
        "prm_min_max",
        "prm_min_vote",
    ] = "prm_last_vote",
) -> Any:
    """Step scores reduced, then voted on: one of the seven published rules."""
    from cogitate import scorers

    return scorers.step_vote(rule, scorers.ProcessReward())


@factory.scorer
def judge(kind: str, criteria: str = "", samples: int = 1, attempts: int = 2) -> Any:
    """A model's mark for each candidate; served by the role `judge`, else by the policy itself."""
    from cogitate.core.requests import Sampling
    from cogitate.scorers import Judge

    # Marks that are averaged must differ, so they are drawn warm.
    return Judge(
        **criteria_of(criteria),
        samples=samples,
        attempts=attempts,
        sampling=Sampling(temperature=0.7 if samples > 1 else 0.0),
    )


@factory.scorer
def listwise_judge(
    kind: str, criteria: str = "", block: int = 5, orders: int = 2, attempts: int = 2
) -> Any:
    """A model ranks candidates against each other, in blocks and in several orders."""
    from cogitate.scorers import ListwiseJudge

    return ListwiseJudge(**criteria_of(criteria), block=block, orders=orders, attempts=attempts)


@factory.scorer
def p_true(kind: str, swapped: bool = False) -> Any:
    """How likely a model finds the candidate true; needs log-likelihoods."""
    from cogitate.scorers import PTrue

    return PTrue(swapped=swapped)


@factory.scorer
def self_certainty(kind: str, top: int = 5) -> Any:
    """How sure the model was of its own words, from its likeliest tokens; costs no model call."""
    from cogitate.scorers import SelfCertainty

    return SelfCertainty(top=top)


@factory.scorer
def mean_logprob(kind: str) -> Any:
    """The mean log-probability of the candidate's tokens; costs no model call."""
    from cogitate.scorers import MeanLogprob

    return MeanLogprob()


FACTORIES: Final[tuple[Factory[...], ...]] = (
    majority,
    weighted,
    prm,
    step_vote,
    judge,
    listwise_judge,
    p_true,
    self_certainty,
    mean_logprob,
)
