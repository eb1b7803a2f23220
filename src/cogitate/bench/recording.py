"""Records what a model says to questions, many times each: a pool that selection is studied on."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from cogitate import __version__
from cogitate.assembly import Result, solve_many
from cogitate.core.candidates import Artifact
from cogitate.core.errors import InvalidInput
from cogitate.core.task import KINDS, Task
from cogitate.core.usage import Budget
from cogitate.drive import FileJournal
from cogitate.lab import About, Pool, Question, Sample, write_pool
from cogitate.processes import Answer
from cogitate.scorers import Indifferent
from cogitate.search import BestOf, Solve

from .questions import Asked

Tell = Callable[[int, int, int], None]
"""Called after each question with questions done, questions in all, and tokens generated so far."""

DIGITS: Final = 4
"""Of the log-probabilities that are kept."""


@dataclass(frozen=True)
class Recording:
    """What is recorded, and how."""

    questions: tuple[Asked, ...]
    model: str
    samples: int = 16
    kind: str = "number"
    process: Answer = Answer(logprobs=0, max_tokens=400)  # noqa: RUF009  (frozen)
    seed: int = 0
    token_logprobs: bool = False
    """Keep that of every token, and not only their sum and their least."""
    name: str = ""
    task: str = ""
    """Where the questions come from."""
    licence: str = ""
    """Of the questions; it travels with the pool."""

    def __post_init__(self) -> None:
        if self.samples < 1 or not self.questions:
            raise InvalidInput(
                f"{self.samples} samples of {len(self.questions)} questions were asked for; there must "
                "be at least one of each"
            )
        if self.kind not in KINDS:
            raise InvalidInput(
                f"there is no answer kind {self.kind!r}; there are {', '.join(KINDS)}"
            )

    @property
    def tasks(self) -> list[Task]:
        """The questions as tasks; a list, so that the journal holds them."""
        return [Task.of(asked.text, kind=self.kind) for asked in self.questions]


async def record(
    wanted: Recording,
    path: Path,
    *,
    budget: Budget | None = None,
    tell: Tell | None = None,
    **options: Any,
) -> Pool:
    """Draw the samples and write the pool.

    Beside the pool lies its run card (`PATH.card.json`): model fingerprint, hashes of the prompt files, seed, host.
    The journal (`PATH.journal`) holds every answer as it arrives: the same call after an
    interruption goes on where it stopped and pays for nothing twice.

    Args:
        wanted: what is recorded.
        path: of the pool, such as `smollm2.jsonl.gz`; replaced only once the recording is whole.
        budget: one grant for the whole recording.
        tell: hears how far it is.
        options: for `solve_many`, such as `configuration` or `at_most`.

    Raises:
        InvalidInput: where the budget or the model left samples missing.
    """
    strategy = Solve(replace(wanted.process, logprobs=0), Indifferent(), BestOf(wanted.samples))
    found: list[Question] = []
    short: list[str] = []
    tokens, journal = 0, path.with_name(path.name + ".journal")
    results = solve_many(
        wanted.tasks,
        model=wanted.model,
        strategy=strategy,
        budget=budget,
        seed=wanted.seed,
        journal=journal,
        **options,
    )
    # A sample that cannot be kept ends the run, and the journal must be closed then.
    async with aclosing(results):
        async for result in results:
            asked = wanted.questions[len(found)]
            samples = _samples(wanted, result)
            if len(samples) < wanted.samples:
                short.append(f"row {asked.id} ({result.ranking.note})")
            tokens += sum(sample.tokens for sample in samples)
            found.append(Question(asked.id, asked.text, asked.gold, samples))
            if tell is not None:
                tell(len(found), len(wanted.questions), tokens)
    if short:
        raise InvalidInput(
            f"{wanted.samples} samples a question were asked for; {len(short)} questions got fewer, first "
            f"{short[0]}: mend that and record again into another file; this journal is sealed"
        )
    card = _run_card(journal)
    pool = Pool(_about(wanted, card), tuple(found))
    part = path.with_name(path.name + ".part")
    write_pool(part, pool)
    part.replace(path)
    told = json.dumps(card, indent=1, ensure_ascii=False) + "\n"
    path.with_name(path.name + ".card.json").write_text(told, "utf-8")
    return pool


def _run_card(journal: Path) -> dict[str, Any]:
    """The journal's header without the questions, which the pool holds."""
    book = FileJournal.open(journal, read_only=True)
    try:
        return {name: value for name, value in book.header.items() if name != "tasks"}
    finally:
        book.close()


def _samples(wanted: Recording, result: Result) -> tuple[Sample, ...]:
    """The samples in the order in which they were drawn."""
    whole = sorted(result.candidates, key=lambda c: int(c.id))
    return tuple(_sample(wanted, int(c.id), c.state) for c in whole if c.state.completions)


def _sample(wanted: Recording, k: int, artifact: Artifact) -> Sample:
    said = artifact.completions[-1]
    if not 0 <= said.tokens - len(said.logprobs) <= 1:  # the token that ends a text may have none
        raise InvalidInput(
            f"{wanted.model} gave {len(said.logprobs)} log-probabilities for {said.tokens} tokens; a "
            "recording needs one for each, so record a model that serves them"
        )
    logs = tuple(round(log, DIGITS) for log in said.logprobs)
    return Sample(
        k=k,
        text=said.text,
        tokens=said.tokens,
        stop=said.finish,
        logprob_sum=round(sum(said.logprobs), DIGITS),
        logprob_min=min(logs, default=0.0),
        seed=wanted.seed,
        logprobs=logs if wanted.token_logprobs else (),
    )


def _about(wanted: Recording, card: Mapping[str, Any]) -> About:
    process = wanted.process
    sampling = process.sampling
    return About(
        name=wanted.name or f"{wanted.model}-{wanted.task or 'questions'}",
        model=f"{wanted.model} ({card['fingerprints'].get('policy', '')})",
        task=wanted.task,
        kind=wanted.kind,
        licence=wanted.licence,
        prompt=f"instruction {process.instruction!r}, {len(process.examples)} worked examples as turns"
        if process.instruction is not None
        else f"the instruction of the package for {wanted.kind} answers",
        sampling=f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}, at most "
        f"{process.max_tokens} tokens; seed {wanted.seed}",
        note=f"recorded with cogitate {__version__} on {platform.system()} {platform.machine()}",
    )


def summary(pool: Pool) -> dict[str, Any]:
    """What a recording holds, in numbers."""
    samples: Sequence[Sample] = [s for q in pool.questions for s in q.samples]
    return {
        "name": pool.about.name,
        "questions": len(pool.questions),
        "samples": len(samples),
        "tokens": sum(s.tokens for s in samples),
        "cut": sum(not s.complete for s in samples),
    }
