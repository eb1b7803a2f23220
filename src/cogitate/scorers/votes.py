"""Votes: answers that agree lend each other weight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.protocols import Costly, ReadsLogprobs, Scorer
from cogitate.core.requests import Grade
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.rules.aggregate import Normalise, normalised
from cogitate.rules.votes import (
    Tally,
    Tie,
    best_of,
    in_canonical_order,
    majority,
    standing_values,
    weighted,
)

NO_ANSWER = Unscored("no answer could be read from it, so it has no vote", "abstained")


async def classes_of(task: Task, artifacts: Sequence[Artifact]) -> tuple[int | None, ...]:
    """The class of each artifact's answer, numbered in canonical order; `None` abstains.

    One `Grade` request partitions the whole vote; a single answer needs none.

    Raises:
        Failed: when the answers cannot be graded.
        OutOfBudget: when the grant does not cover it.
    """
    answers = tuple(a.answer if a.complete else None for a in artifacts)
    if sum(answer is not None for answer in answers) < 2:
        return tuple(None if answer is None else 0 for answer in answers)
    grades = await Grade(answers, task.kind)
    return in_canonical_order(grades.classes, grades.canonical)


def vote_scores(
    tally: Tally, classes: Sequence[int | None], scale: float = 1.0
) -> list[Score | Unscored]:
    """A score for each voter: its class's value, with the features described at `Majority`."""
    values = standing_values(tally, scale)
    standing = {c.label: c for c in tally.standing}
    out: list[Score | Unscored] = []
    for label in classes:
        if label is None or label not in values:
            out.append(NO_ANSWER)
            continue
        features = {
            "class": (float(label),),
            "votes": (float(standing[label].votes),),
            "total": (standing[label].total,),
        }
        out.append(Score(values[label], features=features))
    return out


@dataclass(frozen=True)
class Majority:
    """Self-consistency: the most frequent answer is the best.

    `Score.value` is the share of all candidates that gave this answer, those without an answer counted
    among them. Of classes with equal votes the one that the tie rule prefers keeps its value and the next
    has the next lower number, so with the default rule the ranking does not depend on the order of
    candidates. A candidate without an answer is `Unscored`. Features: `class` (number of the class in
    canonical order), `votes` (of the class), `total` (the same).

    >>> from cogitate.core.requests import Grades
    >>> task, seen = Task.of("2 + 2?", kind="number"), [Artifact("4", "4"), Artifact("5", "5"), Artifact("4.0", "4.0")]
    >>> flow = Majority()(task, seen)
    >>> flow.send(None).answers
    ('4', '5', '4.0')
    >>> try:
    ...     flow.send(Grades((0, 1, 0), ("4", "5", "4")))
    ... except StopIteration as done:
    ...     [round(score.value, 2) for score in done.value]
    [0.67, 0.33, 0.67]
    """

    tie: Literal["first", "canonical"] = "canonical"
    counts_votes: ClassVar[bool] = True
    """Its features say when a vote is decided, and asking it costs no model call."""

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        if not states:
            return []
        try:
            classes = await classes_of(task, states)
        except (Failed, OutOfBudget) as error:
            return [Unscored.because(error)] * len(states)
        return vote_scores(majority(classes, tie=self.tie), classes, 1 / len(states))


@dataclass(frozen=True)
class Weighted:
    """The answer whose candidates have the highest scores in sum.

    `Score.value` is the class's total of the inner scorer's scores, brought to one scale first. Sums of
    negative scores would prefer rare answers, so `auto` sums scores as they are where none is negative,
    and ranks (see `rules.aggregate.normalised`) otherwise. A candidate that the inner scorer could not
    judge adds nothing, and has its class's value where another of the class was judged. Step scores and
    critiques of the inner scorer are kept. Features: those of `Majority`, with the votes that were judged, and
    `own`, the candidate's own score.

    >>> Weighted(Majority())
    Weighted(scorer=Majority(tie='canonical'), normalise='auto', tie='canonical')
    """

    scorer: Scorer[Artifact]
    normalise: Normalise | Literal["auto"] = "auto"
    tie: Tie = "canonical"

    @property
    def logprobs(self) -> int:
        """What the inner scorer reads."""
        return logprobs_of(self.scorer)

    def reserve(self, states: int) -> Budget | None:
        """What the inner scorer is likely to cost."""
        return reserve_of(self.scorer, states)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        if not states:
            return []
        inner = await self.scorer(task, states)
        return await ScoredVote(self.normalise, self.tie).rescored(task, states, inner)


@dataclass(frozen=True)
class ScoredVote:
    """As `Weighted`, by the scores that the search gave: as a final scorer it asks no verifier again.

    Asked by itself, where there are no scores, every candidate weighs the same.

    >>> ScoredVote()
    ScoredVote(normalise='auto', tie='canonical')
    """

    normalise: Normalise | Literal["auto"] = "auto"
    tie: Tie = "canonical"

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return await self.rescored(task, states, [Score(1.0) for _ in states])

    async def rescored(
        self, task: Task, states: Sequence[Artifact], given: Sequence[Score | Unscored]
    ) -> Sequence[Score | Unscored]:
        """The vote, weighted by the scores given."""
        if not states:
            return []
        try:
            classes = await classes_of(task, states)
        except (Failed, OutOfBudget) as error:
            return [Unscored.because(error)] * len(states)
        return with_own(given, classes, weighted(classes, self._scaled(given), tie=self.tie))

    def _scaled(self, inner: Sequence[Score | Unscored]) -> list[float | None]:
        values = [s.value for s in inner if isinstance(s, Score)]
        how = self.normalise
        if how == "auto":
            how = "rank" if any(v < 0 for v in values) else "none"
        scaled = iter(normalised(values, how))
        return [next(scaled) if isinstance(s, Score) else None for s in inner]


@dataclass(frozen=True)
class BestAnswer:
    """The answer of the best-scored candidate, among those that have an answer.

    `Score.value` is the inner scorer's; a candidate whose answer cannot be read is `Unscored`, however good
    its text looks. Features: those of `Weighted`.

    >>> BestAnswer(Majority())
    BestAnswer(scorer=Majority(tie='canonical'))
    """

    scorer: Scorer[Artifact]

    @property
    def logprobs(self) -> int:
        """What the inner scorer reads."""
        return logprobs_of(self.scorer)

    def reserve(self, states: int) -> Budget | None:
        """What the inner scorer is likely to cost."""
        return reserve_of(self.scorer, states)

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        inner = await self.scorer(task, states)
        try:
            classes = await classes_of(task, states)
        except (Failed, OutOfBudget):  # a best-of needs no classes to rank by
            return [
                s if a.answer is not None and a.complete else NO_ANSWER
                for a, s in zip(states, inner, strict=True)
            ]
        values = [s.value if isinstance(s, Score) else None for s in inner]
        told = with_own(inner, classes, best_of(classes, values))
        return [
            Score(i.value, t.steps, t.critique, t.features)
            if isinstance(t, Score) and isinstance(i, Score)
            else (t if isinstance(t, Unscored) else i)
            for t, i in zip(told, inner, strict=True)
        ]


@dataclass(frozen=True)
class Indifferent:
    """Every candidate is as good as any other, so the first one wins: for single samples and as a null.

    `Score.value` is `value` for all.

    >>> Indifferent()
    Indifferent(value=0.0)
    """

    value: float = 0.0

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return [Score(self.value) for _ in states]


def with_own(
    inner: Sequence[Score | Unscored], classes: Sequence[int | None], tally: Tally
) -> list[Score | Unscored]:
    """The vote's scores with what the inner scorer said of each candidate."""
    out: list[Score | Unscored] = []
    for own, label, vote in zip(inner, classes, vote_scores(tally, classes), strict=True):
        if label is not None and isinstance(vote, Unscored):
            out.append(own if isinstance(own, Unscored) else vote)  # nobody of its class was judged
        elif isinstance(vote, Unscored) or isinstance(own, Unscored):
            out.append(vote)
        else:
            features = {**own.features, **vote.features, "own": (own.value,)}
            out.append(Score(vote.value, own.steps, own.critique, features))
    return out


def reserve_of(scorer: Scorer[Artifact], states: int) -> Budget | None:
    """What a scorer says that scoring so many is likely to cost; `None` where it says nothing."""
    return scorer.reserve(states) if isinstance(scorer, Costly) else None


def logprobs_of(scorer: Scorer[Artifact]) -> int:
    """How many of the likeliest tokens a scorer reads; -1 where it reads no log-probabilities."""
    return scorer.logprobs if isinstance(scorer, ReadsLogprobs) else -1
