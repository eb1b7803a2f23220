"""Answers that follow earlier answers: how one is made, and how each state is scored but once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from cogitate.core.candidates import Ranking, Score, Unscored
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.flow import Flow, note
from cogitate.core.protocols import Process, Scorer, Separable
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.views import SeenAs

from .reserves import OnAccount
from .rollout import Lost, Rollout, concluded, ending, judged, lose

S = TypeVar("S")


async def follow(
    process: Process[S], make: Callable[[], Flow[S]], line: Seed, id: str, parent: str
) -> Rollout[S] | Lost:
    """An answer made of earlier ones, stepped on until it is done; publishes `expanded` or `lost`.

    Args:
        process: whose steps follow.
        make: begins the revision or mutation.
        line: seed of the steps.
        id: of the new answer.
        parent: of the answer that it follows.
    """
    depth = 1
    try:
        state = await make()
    except (OutOfBudget, Failed) as error:
        return await lose(id, error)
    cut: Lost | None = None
    try:
        while not process.done(state):
            state = await process.step(state, line.at("step", depth))
            depth += 1
    except (OutOfBudget, Failed) as error:
        cut = await lose(id, error)
    await note("expanded", id=id, parent=parent, depth=depth, done=cut is None)
    return Rollout(id, state, depth, cut)


def cause(sample: Rollout[Any] | Lost) -> str:
    """Why a sample was lost or cut; empty where it finished."""
    if isinstance(sample, Lost):
        return sample.cause
    return sample.cut.cause if sample.cut else ""


def refused(causes: Sequence[str]) -> bool:
    """Whether one of the causes ends a search: what is asked next would be refused too."""
    return bool(ending(causes, empty=False))


def finished(samples: Sequence[Rollout[S] | Lost]) -> list[Rollout[S]]:
    """Those that came to their end."""
    return [s for s in samples if isinstance(s, Rollout) and s.cut is None]


def judges_alone(scorer: Any) -> bool:
    """Whether a scorer, lifted or paid for as it may be, judges every state by itself."""
    while isinstance(scorer, SeenAs | OnAccount):
        scorer = scorer.scorer  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return isinstance(scorer, Separable) and scorer.separable


def told(
    samples: Sequence[Rollout[S] | Lost],
    scores: Sequence[Score | Unscored],
    parents: dict[str, str],
    *,
    asked: int,
) -> Ranking[S]:
    """The ranking of samples, as `concluded`, with the parent of each; scores are those of the finished."""
    found = concluded(samples, scores, asked=asked)
    return found.with_items(replace(c, parent=parents.get(c.id)) for c in found.items)


@dataclass(eq=False)
class Verdicts(Generic[S]):
    """The scores of one run's answers.

    A scorer that judges every state by itself is asked about each state once, however often it occurs. One
    that compares, such as a vote, is asked about all answers so far whenever there are more, because its
    scores mean nothing apart; an answer that it cannot judge any more keeps its last score.
    """

    # Mutable on purpose: the memory of one run.
    scorer: Scorer[S]
    task: Task
    alone: bool
    samples: list[Rollout[S]] = field(default_factory=list["Rollout[S]"])
    scores: dict[str, Score | Unscored] = field(default_factory=dict[str, Score | Unscored])
    """By id."""
    seen: dict[Any, str] = field(default_factory=dict[Any, str])
    """The first id of each state."""

    async def add(self, new: Sequence[Rollout[S]]) -> list[Score | Unscored]:
        """Score some more answers; returns theirs."""
        self.samples += new
        for sample in new:
            self.seen.setdefault(sample.state, sample.id)
        if not new:
            return []
        asked = [s for s in new if self.first(s) == s.id] if self.alone else self.samples
        found = await judged(
            self.scorer, self.task, [s.state for s in asked], [s.id for s in asked]
        )
        for sample, score in zip(asked, found, strict=True):
            before = self.scores.get(sample.id)
            if not (isinstance(before, Score) and isinstance(score, Unscored)):
                self.scores[sample.id] = score
        for sample in new:
            if sample.id not in self.scores:
                self.scores[sample.id] = self.scores[self.first(sample)]
        return [self.scores[s.id] for s in new]

    def first(self, sample: Rollout[S]) -> str:
        """The id of the first answer with the same state."""
        return self.seen[sample.state]
