"""What is done with one question: a strategy answers it, and the answer is judged before it is sealed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cogitate.core.candidates import Artifact, Candidate, Ranking, Score, cause_of
from cogitate.core.errors import CogitateError, Failed, OutOfBudget
from cogitate.core.flow import within
from cogitate.core.protocols import Strategy
from cogitate.core.seeds import Seed
from cogitate.core.usage import Budget

from .tasks import Benchmark, Item, Verdict

SHOWN: Final = 256
"""Candidates that a seal names, at most."""

Asking = Callable[[int, Item], Any]
"""Makes the flow of a question, given its number."""


class RunSpent(CogitateError):
    """The budget of the whole run was spent within a question, which is therefore not finished."""


@dataclass
class Purse:
    """Whether the budget of the whole run is spent; a listener sets it."""

    spent: bool = False


class Plain:
    """Values that are JSON already."""

    def encode(self, value: Any) -> Any:
        """As it is."""
        return value

    def decode(self, raw: Any) -> Any:
        """As it is."""
        return raw


def seed_of(benchmark: Benchmark, item: Item, seed: int) -> Seed:
    """The seed of a question: of its task, its id and the grid's seed, whoever answers it and in which order."""
    return Seed(seed).at("bench", benchmark.name, item.id)


@dataclass(frozen=True)
class Answered:
    """A strategy on the questions of a task."""

    strategy: Strategy
    benchmark: Benchmark
    budget: Budget
    seed: int
    purse: Purse
    keeps_failures: bool = True
    """Whether a question that failures left without an answer is finished; otherwise it is asked again."""

    async def __call__(self, number: int, item: Item) -> dict[str, Any]:
        """What is sealed.

        Raises:
            RunSpent: where the budget of the whole run ended it.
            Failed: where the answers could not be judged, or nothing was found because requests failed.
        """
        ranking = await self._ranking(item)
        if self.purse.spent:
            raise RunSpent(item.id)
        if ranking.stopped == "failed" and not ranking.items and not self.keeps_failures:
            raise Failed(ranking.note or "every request failed")
        verdicts = await self.benchmark.grade(item, [c.state for c in ranking.items])
        return sealed(number, ranking, verdicts)

    async def _ranking(self, item: Item) -> Ranking[Artifact]:
        flow = self.strategy(item.task, seed_of(self.benchmark, item, self.seed))
        try:
            return await (within("question", self.budget, flow) if self.budget.bounds() else flow)
        except (OutOfBudget, Failed) as error:
            return Ranking((), cause_of(error), str(error))


def sealed(number: int, ranking: Ranking[Artifact], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """The outcome of a question as JSON values, with its candidates, best first."""
    best = ranking.items[0].state if ranking.items else None
    answer = best.answer if best is not None else None
    if answer is not None and not answer.strip():
        answer = None
    value: dict[str, Any] = {
        "number": number,
        "answer": answer,
        "correct": bool(answer is not None and verdicts and verdicts[0].correct),
        "candidates": len(ranking.items),
        "candidates_correct": sum(verdict.correct is True for verdict in verdicts),
        "ranking": [
            [c.id, c.state.answer, _value(c), verdict.correct]
            for c, verdict in zip(ranking.items[:SHOWN], verdicts, strict=False)
        ],
    }
    if best is not None and not best.complete:
        value["truncated"] = True
    if ranking.stopped:
        value["stopped"] = ranking.stopped
    if ranking.stopped == "failed":
        value["why"] = ranking.note[:SHOWN]
    if verdicts and verdicts[0].credit not in (0.0, 1.0):
        value["credit"] = verdicts[0].credit
    return value


def _value(candidate: Candidate[Artifact]) -> float | None:
    return candidate.score.value if isinstance(candidate.score, Score) else None
