"""Strategies made of parts: a process, a scorer and a search; votes over whole strategies."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

from cogitate.core.candidates import Artifact, Candidate, Ranking, Score, Unscored, ranked
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.flow import gather, note, remaining, set_aside
from cogitate.core.protocols import (
    Previewable,
    Process,
    Rescores,
    Scorer,
    SearchOn,
    Strategy,
)
from cogitate.core.requests import Grade
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.core.views import seen_as
from cogitate.rules.votes import in_canonical_order, majority, standing_values

from .reserves import OnAccount, estimate_of, verifier_grant
from .rollout import Lost, ending, judged, lose
from .schedules import check_count

S = TypeVar("S")
P = TypeVar("P", bound=Process[Any])

SHOWN = 200
"""Characters of a candidate's text in the event `ranked`."""
MOST_SHOWN = 100
"""Candidates in the event `ranked`, at most."""


@dataclass(frozen=True)
class Solve(Generic[P]):
    """A strategy: search over a process, led by a scorer of what can be seen of its states.

    Partial states are seen through `preview` where the process has it, and `render` elsewhere. Where the
    scorer asks models, its likely cost is set aside before anything is generated, at most half of
    the calls and a quarter of the tokens left; where that is spent, it is paid from the rest. Publishes `ranked` at the end.

    >>> from cogitate.search import BestOf
    >>> Solve(process=None, scorer=None, search=BestOf(4))
    Solve(process=None, scorer=None, search=BestOf(n=4), final=None)
    """

    process: P
    scorer: Scorer[Artifact]
    search: SearchOn[P]
    final: Scorer[Artifact] | None = None
    """Ranks the finished artifacts anew, such as a vote over the survivors of a beam."""

    async def __call__(self, task: Task, seed: Seed) -> Ranking[Artifact]:
        grant = await self._grant()
        if grant is None:
            return await self._run(task, seed, self.scorer)
        entered = False
        try:
            async with set_aside("verify", grant) as account:
                entered = True
                return await self._run(task, seed, OnAccount(account, self.scorer))
        except OutOfBudget:
            if entered:
                raise
        return await self._run(task, seed, self.scorer)

    async def _grant(self) -> Budget | None:
        estimate = estimate_of(self.scorer, self.search)
        return None if estimate is None else verifier_grant(await remaining(), estimate)

    async def _run(self, task: Task, seed: Seed, scorer: Scorer[Artifact]) -> Ranking[Artifact]:
        process = self.process
        found = await self.search(process, seen_as(_view(process), scorer), task, seed)
        shown = await gather(*(self._shown(c) for c in found.items))
        lost = [c for c in shown if isinstance(c, Lost)]
        items = [c for c in shown if not isinstance(c, Lost)]
        if self.final is not None:
            items = await self._again(task, items, self.final)
        await note("ranked", items=[told_of(c) for c in items[:MOST_SHOWN]])
        ranking = found.with_items(items)
        if not lost:
            return ranking
        stopped = found.stopped or ending([gone.cause for gone in lost], empty=not items)
        told = f"{found.note}; {len(lost)} could not be rendered ({lost[0].reason})"
        return replace(ranking, stopped=stopped, note=told)

    async def _shown(self, candidate: Candidate[Any]) -> Candidate[Artifact] | Lost:
        try:
            artifact = await self.process.render(candidate.state)
        except (Failed, OutOfBudget) as error:
            return await lose(candidate.id, error)
        return Candidate(artifact, candidate.score, candidate.id, candidate.parent)

    async def _again(
        self, task: Task, items: Sequence[Candidate[Artifact]], scorer: Scorer[Artifact]
    ) -> list[Candidate[Artifact]]:
        """Complete candidates by the final scorer; unfinished ones after them as they were."""
        complete = [c for c in items if c.state.complete]
        if isinstance(scorer, Rescores):
            scorer = _Given(scorer, tuple(c.score for c in complete))
        scores = await judged(scorer, task, [c.state for c in complete], [c.id for c in complete])
        if all(isinstance(s, Unscored) for s in scores):
            return list(items)  # a final that judged nothing may not undo the search's own order
        rescored = [replace(c, score=s) for c, s in zip(complete, scores, strict=True)]
        return [*ranked(rescored).items, *(c for c in items if not c.state.complete)]


@dataclass(frozen=True)
class _Given:
    """A final scorer with the scores it goes on from."""

    scorer: Rescores
    scores: tuple[Score | Unscored, ...]

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        return await self.scorer.rescored(task, states, self.scores)


@dataclass(frozen=True)
class Vote:
    """Run a strategy n times and let the best answers of the runs vote.

    The first run is the strategy's own, so `Vote(s, 1)` answers as `s` does. `Score.value` is the share of
    the runs with this answer; ties go to the canonically first class, so the order of runs does not
    matter. A run without an answer is unscored; a run that the budget cut still votes with what it has.

    >>> Vote(strategy=None, n=3)
    Vote(strategy=None, n=3)
    """

    strategy: Strategy
    n: int = 4

    def __post_init__(self) -> None:
        check_count("n", self.n)

    async def __call__(self, task: Task, seed: Seed) -> Ranking[Artifact]:
        seeds = [seed if i == 0 else seed.at("run", i) for i in range(self.n)]
        runs = await gather(*(self._run(task, s, i) for i, s in enumerate(seeds)))
        found = [run for run in runs if isinstance(run, Ranking)]
        bests = [
            replace(run.best, id=f"{i}/{run.best.id}", parent=None)
            for i, run in enumerate(runs)
            if isinstance(run, Ranking) and run.items
        ]
        items, causes = await self._voted(task, bests)
        causes += [run.stopped for run in found if run.stopped != "decided"]
        causes += [run.cause for run in runs if isinstance(run, Lost)]
        told = f"{len(bests)} of {self.n} runs gave a candidate"
        if not bests:
            reasons = [run.reason if isinstance(run, Lost) else run.note for run in runs]
            told = f"no run gave a candidate: {reasons[0]}"
        await note("ranked", items=[told_of(c) for c in items[:MOST_SHOWN]])
        return Ranking(tuple(items), ending(causes, empty=not items), told)

    async def _run(self, task: Task, seed: Seed, index: int) -> Ranking[Artifact] | Lost:
        try:
            return await self.strategy(task, seed)
        except (OutOfBudget, Failed) as error:
            return await lose(str(index), error)

    async def _voted(
        self, task: Task, bests: Sequence[Candidate[Artifact]]
    ) -> tuple[list[Candidate[Artifact]], list[str]]:
        """The runs' bests ranked by the vote; as they came where they cannot be graded."""
        answers = tuple(c.state.answer if c.state.complete else None for c in bests)
        if sum(answer is not None for answer in answers) < 2:
            return list(ranked(bests).items) if len(bests) < 2 else _answered_first(bests), []
        try:
            grades = await Grade(answers, task.kind)
        except (OutOfBudget, Failed) as error:
            unscored = Unscored.because(error)
            return [replace(c, score=unscored) for c in bests], [unscored.cause]
        classes = in_canonical_order(grades.classes, grades.canonical)
        tally = majority(classes)
        values = standing_values(tally, 1 / self.n)
        votes = {c.label: c.votes for c in tally.standing}
        scored: list[Candidate[Artifact]] = []
        for candidate, label in zip(bests, classes, strict=True):
            if label is None:
                scored.append(replace(candidate, score=Unscored("it has no answer", "abstained")))
                continue
            features = {"class": (float(label),), "votes": (float(votes[label]),)}
            scored.append(replace(candidate, score=Score(values[label], features=features)))
        return list(ranked(scored).items), []


def _view(process: Process[S]) -> Callable[[S], Awaitable[Artifact]]:
    if isinstance(process, Previewable):
        return cast(Previewable[S], process).preview
    return process.render


def _answered_first(bests: Sequence[Candidate[Artifact]]) -> list[Candidate[Artifact]]:
    return sorted(bests, key=lambda c: c.state.answer is None or not c.state.complete)


def told_of(candidate: Candidate[Artifact]) -> dict[str, object]:
    """A candidate as the event `ranked` shows it."""
    scored = isinstance(candidate.score, Score)
    return {
        "id": candidate.id,
        "answer": candidate.state.answer,
        "text": candidate.state.text[:SHOWN],
        "complete": candidate.state.complete,
        "value": candidate.value if scored else None,
    }
