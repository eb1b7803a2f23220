"""Scores of steps from a process reward model, reduced and voted on."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import ClassVar, Final, Literal

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Scorer
from cogitate.core.requests import ScoreSteps
from cogitate.core.task import Message, Task
from cogitate.core.usage import Budget
from cogitate.rules.aggregate import AGGREGATES, WITHOUT_STEPS, Aggregate, aggregate
from cogitate.rules.votes import Tie, majority, weighted

from ._asking import each_once
from .votes import NO_ANSWER, classes_of, logprobs_of, reserve_of, vote_scores, with_own

_BLANK_LINES = re.compile(r"\n[ \t]*\n\s*")


def steps_of(artifact: Artifact) -> tuple[str, ...]:
    r"""The steps of a candidate; where it names none, its paragraphs.

    >>> steps_of(Artifact("one\n\n two"))
    ('one', 'two')
    """
    if artifact.steps:
        return artifact.steps
    return tuple(part.strip() for part in _BLANK_LINES.split(artifact.said) if part.strip())


@dataclass(frozen=True)
class ProcessReward:
    """A process reward model's scores of the steps, reduced to one.

    `Score.value` is the reduction of `Score.steps` (see `rules.aggregate`), in the model's own range,
    usually a probability; a candidate without steps has -1 and is not asked about. Where the model
    returns another number of scores than there are steps, or one that is not finite, the candidate is
    `Unscored`. Features: none.

    Partial states are scored as far as they go. A model's score of a step depends on all steps before it, and
    requests have no memory, so a search of depth d sends of the order of d^2 steps a line. Servers with a prefix
    cache compute each step once all the same; equal solutions are asked about once.

    >>> flow = ProcessReward("min")(Task.of("2 + 2?"), [Artifact("a", steps=("a", "b"))])
    >>> flow.send(None).flows[0].send(None).steps
    ('a', 'b')
    """

    aggregate: Aggregate = "last"
    role: str = "verifier"
    separable: ClassVar[bool] = True
    """Each candidate is judged by itself."""

    def __post_init__(self) -> None:
        if self.aggregate not in AGGREGATES:
            raise InvalidInput(
                f"the aggregation {self.aggregate!r} was asked for; there are {', '.join(AGGREGATES)}"
            )

    def reserve(self, states: int) -> Budget | None:
        """One call a candidate."""
        return Budget(calls=states)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return await each_once(states, steps_of, lambda seen: self._one(task, steps_of(seen)))

    async def _one(self, task: Task, steps: tuple[str, ...]) -> Score | Unscored:
        if not steps:
            return Score(WITHOUT_STEPS)
        found = await ScoreSteps(_question(task), steps, role=self.role)
        if len(found) != len(steps):
            return Unscored(f"the verifier gave {len(found)} scores for {len(steps)} steps", "form")
        value = aggregate(found, self.aggregate)
        if not all(map(math.isfinite, found)) or not math.isfinite(value):
            return Unscored("the verifier gave a score that is not a finite number", "form")
        return Score(value, found)


@dataclass(frozen=True)
class OutcomeReward:
    r"""A reward model's score of the whole solution.

    It is asked as for a process reward model whose solution is one step, which is what servers that score or
    classify whole texts make of it. `Score.value` is the model's own score, of any range. Equal texts are
    asked about once; a candidate without text abstains. Partial states are scored by what is there. Features:
    none.

    >>> flow = OutcomeReward()(Task.of("2 + 2?"), [Artifact("2 + 2 is 4.\n\n#### 4")])
    >>> flow.send(None).flows[0].send(None).steps
    ('2 + 2 is 4.\n\n#### 4',)
    """

    role: str = "verifier"
    separable: ClassVar[bool] = True
    """Each candidate is judged by itself."""

    def reserve(self, states: int) -> Budget | None:
        """One call a candidate."""
        return Budget(calls=states)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return await each_once(states, lambda a: a.said, lambda a: self._one(task, a.text))

    async def _one(self, task: Task, text: str) -> Score | Unscored:
        if not text.strip():
            return Unscored("there is no text to score", "abstained")
        found = await ScoreSteps(_question(task), (text,), role=self.role)
        if len(found) != 1:
            return Unscored(f"the verifier gave {len(found)} scores for one solution", "form")
        if not math.isfinite(found[0]):
            return Unscored("the verifier gave a score that is not a finite number", "form")
        return Score(found[0])


def _question(task: Task) -> Prompt:
    if not task.context:
        return Prompt.chat(*task.messages)
    return Prompt.chat(Message("user", task.context), *task.messages)


StepRule = Literal["majority", "max", "vote"]


@dataclass(frozen=True)
class StepVote:
    """Step scores reduced, then voted on: the grid of aggregations and votes.

    `majority` ignores the verifier; `max` takes the answer of the single best candidate; `vote` the answer
    with the highest sum. Candidates without an answer are left out first (`Unscored`).
    `Score.value` is the share of votes, the candidate's own reduced score, or its class's total.
    Sums are taken as they are, as in the published rule: a verifier whose scores may be negative
    belongs under `Weighted`. Features: those of `Majority`, and `own` where the verifier was asked.

    >>> step_vote("prm_min_vote", ProcessReward())
    StepVote(verifier=ProcessReward(aggregate='last', role='verifier'), aggregate='min', vote='vote', tie='first')

    Reference:
        @article{liu2025can, title={Can 1B LLM Surpass 405B LLM? Rethinking Compute-Optimal Test-Time
          Scaling}, author={Liu, Runze and others}, journal={arXiv:2502.06703}, year={2025}}
    Deviates: a wrong number of step scores leaves a candidate unscored, where the paper's code says 0.
    """

    verifier: Scorer[Artifact]
    """Its scores must have `steps`, as those of `ProcessReward` do."""
    aggregate: Aggregate = "last"
    vote: StepRule = "vote"
    tie: Tie = "first"

    @property
    def logprobs(self) -> int:
        """What the verifier reads."""
        return -1 if self.vote == "majority" else logprobs_of(self.verifier)

    def reserve(self, states: int) -> Budget | None:
        """What the verifier is likely to cost."""
        return None if self.vote == "majority" else reserve_of(self.verifier, states)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        if not states:
            return []
        inner: Sequence[Score | Unscored] = ()
        if self.vote != "majority":
            inner = await self.verifier(task, states)
        try:
            classes = await classes_of(task, states)
        except (Failed, OutOfBudget) as error:
            return [Unscored.because(error)] * len(states)
        if self.vote == "majority":
            tally = majority(classes, tie="canonical" if self.tie == "score" else self.tie)
            return vote_scores(tally, classes, 1 / len(states))
        own = [self._reduced(score) for score in inner]
        if self.vote == "max":
            return [NO_ANSWER if c is None else s for c, s in zip(classes, own, strict=True)]
        values = [s.value if isinstance(s, Score) else None for s in own]
        return with_own(own, classes, weighted(classes, values, tie=self.tie))

    def _reduced(self, score: Score | Unscored) -> Score | Unscored:
        if isinstance(score, Unscored):
            return score
        return replace(score, value=aggregate(score.steps, self.aggregate))


STEP_VOTES: Final = MappingProxyType(
    {
        "majority_vote": ("last", "majority"),
        **{
            f"prm_{short}_{vote}": (rule, vote)
            for short, rule in (("min", "min"), ("last", "last"), ("avg", "mean"))
            for vote in ("max", "vote")
        },
    }
)
"""The seven published rules by name: aggregation and vote."""


def step_vote(name: str, verifier: Scorer[Artifact]) -> StepVote:
    """One of the seven published rules, such as `prm_last_vote`.

    Raises:
        InvalidInput: for another name.
    """
    match STEP_VOTES.get(name):
        case ("min" | "last" | "mean" as rule, "max" | "vote" | "majority" as vote):
            return StepVote(verifier, rule, vote)
        case _:
            raise InvalidInput(
                f"the rule {name!r} was asked for; there are {', '.join(STEP_VOTES)}"
            )
