"""Which strategy for which question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from cogitate.core.candidates import Artifact, Ranking
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import gather, note
from cogitate.core.protocols import Process, Strategy
from cogitate.core.requests import Grade
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.rules.votes import in_canonical_order, majority

from .escalation import under
from .rollout import Lost, rollout
from .schedules import check_count


class Chooser(Protocol):
    """Picks an arm for a question: its index, and in one sentence why. What it asks is paid for."""

    async def __call__(self, task: Task, seed: Seed) -> tuple[int, str]: ...


@dataclass(frozen=True)
class ByKind:
    """The arm of the question's kind of answer; the last arm for kinds without one.

    >>> ByKind(("math", "code"))
    ByKind(kinds=('math', 'code'))
    """

    kinds: tuple[str, ...]

    async def __call__(self, task: Task, seed: Seed) -> tuple[int, str]:
        if task.kind in self.kinds:
            return self.kinds.index(task.kind), f"the answer is of kind {task.kind}"
        return len(self.kinds), f"no arm is named for answers of kind {task.kind}"


@dataclass(frozen=True)
class ByAgreement:
    """The arm by how far a few samples agree: the first for the most agreement.

    Draws the first `samples` samples of the question, which a strategy of samples draws again: with a reply
    cache they cost nothing then. The agreement is the share of the most frequent answer among
    all samples; arm i is for agreements of at least `edges[i]`, the last for what is below all.

    >>> ByAgreement(process=None, edges=(0.75, 0.4)).samples
    4
    """

    process: Process[Any]
    edges: tuple[float, ...] = (0.75,)
    samples: int = 4

    def __post_init__(self) -> None:
        check_count("samples", self.samples)
        falling = all(a > b for a, b in zip(self.edges, self.edges[1:], strict=False))
        if not self.edges or not falling or not all(0 < e <= 1 for e in self.edges):
            raise InvalidInput(
                f"edges={self.edges} was asked for; give falling shares, above 0 and up to 1"
            )

    async def __call__(self, task: Task, seed: Seed) -> tuple[int, str]:
        drawn = await gather(*(rollout(self.process, task, seed, i) for i in range(self.samples)))
        answers: list[str | None] = []
        for sample in drawn:
            if isinstance(sample, Lost) or sample.cut is not None:
                answers.append(None)
                continue
            artifact = await self.process.render(sample.state)
            answers.append(artifact.answer if artifact.complete else None)
        share = await _agreement(answers, task.kind)
        arm = next((i for i, edge in enumerate(self.edges) if share >= edge), len(self.edges))
        return arm, f"{share:.0%} of {self.samples} samples agree"


async def _agreement(answers: list[str | None], kind: str) -> float:
    if all(answer is None for answer in answers):
        return 0.0
    grades = await Grade(tuple(answers), kind)
    tally = majority(in_canonical_order(grades.classes, grades.canonical))
    return max((c.votes for c in tally.standing), default=0) / len(answers)


@dataclass(frozen=True)
class Route:
    """One of several strategies for each question, picked by a chooser.

    Where the chooser is refused or fails, or names no arm, the last arm runs: put the most careful one there.
    Publishes `routed` with the arm and the reason.

    >>> Route(ByKind(("math",)), ())
    Traceback (most recent call last):
        ...
    cogitate.core.errors.InvalidInput: a route over no arms was asked for; give at least one strategy
    """

    chooser: Chooser
    arms: tuple[Strategy, ...]

    def __post_init__(self) -> None:
        if not self.arms:
            raise InvalidInput("a route over no arms was asked for; give at least one strategy")

    async def __call__(self, task: Task, seed: Seed) -> Ranking[Artifact]:
        last = len(self.arms) - 1
        try:
            arm, reason = await self.chooser(task, seed)
        except (OutOfBudget, Failed) as error:
            arm, reason = last, f"the chooser could not tell ({error})"
        arm = arm if 0 <= arm <= last else last
        await note("routed", arm=arm, reason=reason)
        ranking = await self.arms[arm](task, seed)
        told = f"arm {arm + 1} of {last + 1}, because {reason}: {ranking.note}"
        return Ranking(tuple(under(c, arm) for c in ranking.items), ranking.stopped, told)
