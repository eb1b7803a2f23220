"""Pools: samples drawn once a question, and scored once, so that selection is judged offline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cogitate.core.candidates import Artifact, Score
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.flow import gather
from cogitate.core.protocols import Process, Scorer
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.scorers.votes import classes_of
from cogitate.search.rollout import Rollout, judged, rollout

from .asking import Purse, RunSpent, seed_of
from .tasks import Benchmark, Item


async def samples_of(process: Process[Any], task: Task, seed: Seed, count: int) -> list[Artifact]:
    """Independent samples in order, the same requests as those of every search over independent samples.

    Raises:
        Failed: where one could not be drawn: a pool with gaps is no sample of what the model says.
        OutOfBudget: where the budget of the whole run does not cover it.
    """
    drawn = await gather(*(rollout(process, task, seed, i) for i in range(count)))
    whole: list[Any] = []
    for sample in drawn:
        if isinstance(sample, Rollout) and sample.cut is None:
            whole.append(sample.state)
            continue
        lost = sample.cut if isinstance(sample, Rollout) else sample
        raise Failed(
            f"sample {sample.id} of {count} could not be drawn: {lost.reason if lost else 'unknown'}"
        )
    return await gather(*(process.render(state) for state in whole))


@dataclass(frozen=True)
class Drawing:
    """Samples of the questions of a task, with their classes and verdicts."""

    process: Process[Any]
    benchmark: Benchmark
    samples: int
    seed: int
    purse: Purse

    async def __call__(self, number: int, item: Item) -> dict[str, Any]:
        """What is sealed.

        Raises:
            Failed: where a sample could not be drawn or judged.
            RunSpent: where the budget of the whole run ended it.
        """
        artifacts = await _drawn(self, item)
        classes = await classes_of(item.task, artifacts)
        verdicts = await self.benchmark.grade(item, artifacts)
        return {
            "number": number,
            "classes": [
                None if a.answer is None else c for a, c in zip(artifacts, classes, strict=True)
            ],
            "correct": [verdict.correct is True for verdict in verdicts],
            "tokens": [_tokens(artifact) for artifact in artifacts],
            "truncated": [not artifact.complete for artifact in artifacts],
            "answers": [artifact.answer for artifact in artifacts],
        }


@dataclass(frozen=True)
class Scoring:
    """The scores of the same samples; drawing them again costs nothing, because the run remembers them."""

    process: Process[Any]
    scorer: Scorer[Artifact]
    benchmark: Benchmark
    samples: int
    seed: int
    purse: Purse

    async def __call__(self, number: int, item: Item) -> dict[str, Any]:
        """What is sealed.

        Raises:
            Failed: where a sample could not be drawn.
            RunSpent: where the budget of the whole run ended it.
        """
        artifacts = await _drawn(self, item)
        scores = await judged(
            self.scorer, item.task, artifacts, [str(i) for i in range(self.samples)]
        )
        if self.purse.spent:
            raise RunSpent(item.id)
        return {
            "number": number,
            "scores": [score.value if isinstance(score, Score) else None for score in scores],
        }


async def _drawn(part: Drawing | Scoring, item: Item) -> Sequence[Artifact]:
    seed = seed_of(part.benchmark, item, part.seed)
    try:
        return await samples_of(part.process, item.task, seed, part.samples)
    except (Failed, OutOfBudget):
        if part.purse.spent:
            raise RunSpent(item.id) from None
        raise


def _tokens(artifact: Artifact) -> int:
    return sum(completion.tokens for completion in artifact.completions)
