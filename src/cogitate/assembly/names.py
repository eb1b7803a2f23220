"""The one table of names: what may stand in a strategy spec, and what it makes.

Every factory gets the kind of answer first and fills by it what was left open. The first line of its
docstring is its help text; every argument but the strategy of `vote` has a default.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final, Literal

from cogitate.core.errors import InvalidInput
from cogitate.rules.aggregate import Aggregate, Normalise

from . import factory
from .factory import A_PROCESS, A_SCORER, A_STRATEGY, Assembled, Factory, nearest
from .own import function

VOTABLE: Final = ("math", "number", "choice", "json")
"""The kinds whose answers can be told equal, so that a vote means something."""

MOST: Final = 100_000
"""The most samples that a spec may ask for; a slip of the finger should not fill the memory."""


# --------------------------------------------------------------------------------- processes


@factory.process
def answer(
    kind: str,
    temperature: float = 0.7,
    top_p: float = 0.95,
    max_tokens: int = 1024,
    preset: str = "",
    constrained: bool = False,
) -> Any:
    """The whole answer in one request.

    `preset` names worked examples, such as "word_problems"; `constrained` enforces the schema of a
    `json` task while decoding, and needs a model that can.
    """
    from cogitate.processes import Answer

    return Answer(
        sampling=_sampling(temperature, top_p),
        max_tokens=_count(max_tokens, "max_tokens"),
        constrained=constrained,
        **_preset(preset),
    )


@factory.process
def reasoning(
    kind: str,
    separator: str | tuple[str, ...] = "\n\n",
    max_steps: int = 32,
    max_step_tokens: int = 256,
    temperature: float = 0.7,
    top_p: float = 0.95,
    preset: str = "",
) -> Any:
    """Steps that a search can branch at; a step ends at a separator."""
    from cogitate.processes import Boundaries, Reasoning

    separators = (separator,) if isinstance(separator, str) else separator
    return Reasoning(
        boundaries=Boundaries(separators, max_steps, max_step_tokens),
        sampling=_sampling(temperature, top_p),
        **_preset(preset),
    )


# -------------------------------------------------------------------------------- strategies


@factory.strategy
def greedy(kind: str, process: A_PROCESS | None = None) -> Any:
    """One answer without randomness: what the model says first."""
    from cogitate.core.requests import Sampling
    from cogitate.scorers import Indifferent
    from cogitate.search import BestOf, Solve

    chosen = process if process is not None else answer().for_kind(kind)
    return Solve(replace(chosen, sampling=Sampling(temperature=0.0)), Indifferent(), BestOf(1))


@factory.strategy
def best_of(
    kind: str, n: int = 8, scorer: A_SCORER | None = None, process: A_PROCESS | None = None
) -> Any:
    """The best of n independent answers, by a scorer."""
    from cogitate.search import BestOf

    return _solve(kind, process or answer().for_kind(kind), scorer, BestOf(_count(n, "n")))


@factory.strategy
def self_consistency(
    kind: str, n: int = 16, confidence: float | None = None, process: A_PROCESS | None = None
) -> Any:
    """The most frequent of up to n answers; stops once the vote is decided.

    With `confidence`, such as 0.95, it also stops once the leader is that likely to stay ahead.
    """
    from cogitate.search import SelfConsistency

    chosen = process or answer().for_kind(kind)
    return _solve(
        kind,
        chosen,
        majority().for_kind(kind),
        SelfConsistency(_count(n, "n"), confidence=confidence),
    )


@factory.strategy
def beam_search(
    kind: str,
    width: int = 4,
    branch: int = 4,
    depth: int = 16,
    scorer: A_SCORER | None = None,
    process: A_PROCESS | None = None,
    final: A_SCORER | None = None,
) -> Any:
    """Keep the best partial answers at each step, by a scorer.

    `final` ranks the finished answers anew, such as `majority()`.
    """
    from cogitate.search import BeamSearch

    search = BeamSearch(_count(width, "width"), _count(branch, "branch"), _count(depth, "depth"))
    judged_by = scorer if scorer is not None else judge().for_kind(kind)
    solved = _solve(kind, process or reasoning().for_kind(kind), judged_by, search)
    return replace(solved, final=final)


@factory.strategy
def vote(kind: str, strategy: A_STRATEGY, n: int = 3) -> Any:
    """Run a strategy n times and take the most frequent answer."""
    from cogitate.search import Vote

    return Vote(strategy, _count(n, "n"))


# ----------------------------------------------------------------------------------- scorers


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
        **_criteria(criteria),
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

    return ListwiseJudge(**_criteria(criteria), block=block, orders=orders, attempts=attempts)


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


# --------------------------------------------------------------------------------- the table

TABLE: Final[Mapping[str, Factory[...]]] = MappingProxyType(
    {
        made.name: made
        for made in (
            greedy,
            best_of,
            self_consistency,
            beam_search,
            vote,
            majority,
            weighted,
            prm,
            step_vote,
            judge,
            listwise_judge,
            p_true,
            self_certainty,
            mean_logprob,
            function,
            answer,
            reasoning,
        )
    }
)
"""Every name that a strategy spec may use."""


# --------------------------------------------------------------------------------- defaults


def default_scorer(kind: str) -> tuple[Assembled, str]:
    """The scorer for a kind of answer, and why.

    >>> default_scorer("math")[0], default_scorer("text")[0]
    (majority(), judge())
    """
    if kind in VOTABLE:
        return majority(), f"{kind} answers can be told equal, so a majority vote scores them"
    if kind == "code":
        return judge(), "code cannot be run here yet, so a judge scores it"
    return judge(), "votes mean nothing for free text, so a judge scores it"


def default_strategy(kind: str) -> tuple[Assembled, str]:
    """The strategy for a kind of answer, and why.

    >>> default_strategy("number")[0]
    self_consistency(n=8)
    """
    if kind in VOTABLE:
        return self_consistency(n=8), default_scorer(kind)[1]
    return best_of(n=4), ""


def filled(strategy: Assembled, kind: str, verifier: bool = False) -> tuple[Assembled, str]:
    """The strategy with the scorers that were left open filled in, and why those.

    Args:
        strategy: what was chosen.
        kind: of the answer.
        verifier: whether a process reward model is at hand.
    """
    voting = strategy.name in ("self_consistency", "vote")
    reason = _SELDOM_AGREE if voting and kind not in VOTABLE else ""
    arguments = dict(strategy.arguments)
    for name in strategy.factory.parameters:
        held = strategy.argument(name)
        if isinstance(held, Assembled) and held.family == "strategy":
            arguments[name], reason = filled(held, kind, verifier)
        elif held is None and name == "scorer" and strategy.family == "strategy":
            steps = strategy.factory is beam_search
            arguments[name], reason = _of_steps(verifier) if steps else default_scorer(kind)
    ordered = tuple((n, arguments[n]) for n in strategy.factory.parameters if n in arguments)
    return replace(strategy, arguments=ordered), reason


def _of_steps(verifier: bool) -> tuple[Assembled, str]:
    """Partial answers cannot vote: a verifier of steps scores them, or else a judge."""
    if verifier:
        return prm(), "a verifier is at hand, so it scores the steps"
    return (
        judge(),
        "no verifier was given, so a judge scores the steps; --model verifier=SPEC names one",
    )


_SELDOM_AGREE = (
    "a vote was asked for, but free texts seldom agree; a judge, as in best_of(), says more"
)

# ------------------------------------------------------------------------- shared by factories


def _solve(kind: str, process: Any, scorer: Any, search: Any) -> Any:
    from cogitate.search import Solve

    chosen = scorer if scorer is not None else default_scorer(kind)[0].for_kind(kind)
    return Solve(_with_logprobs(process, chosen), chosen, search)


def _with_logprobs(process: Any, scorer: Any) -> Any:
    """The process, asking for the log-probabilities that the scorer reads."""
    from cogitate.scorers import MeanLogprob, SelfCertainty, Weighted

    inner = scorer.scorer if isinstance(scorer, Weighted) else scorer
    needed = -1
    if isinstance(inner, SelfCertainty):
        needed = inner.top
    elif isinstance(inner, MeanLogprob):
        needed = 0
    return (
        process
        if needed <= getattr(process, "logprobs", needed)
        else replace(process, logprobs=needed)
    )


def _sampling(temperature: float, top_p: float) -> Any:
    from cogitate.core.requests import Sampling

    if not 0 <= temperature <= 5 or not 0 < top_p <= 1:
        raise InvalidInput(
            f"temperature={temperature:g} and top_p={top_p:g} were asked for; they lie between 0 and "
            "5, and above 0 up to 1"
        )
    return Sampling(temperature=temperature, top_p=top_p)


def _preset(name: str) -> dict[str, Any]:
    from cogitate.processes import PRESETS

    if not name:
        return {}
    if name not in PRESETS:
        raise InvalidInput(f"there is no preset {name!r}{nearest(name, PRESETS)}")
    return {"instruction": PRESETS[name].instruction, "examples": PRESETS[name].examples}


def _criteria(criteria: str) -> dict[str, Any]:
    return {"criteria": criteria} if criteria else {}


def _count(value: int, name: str) -> int:
    if not 1 <= value <= MOST:
        raise InvalidInput(f"{name}={value} was asked for; it lies between 1 and {MOST}")
    return value
