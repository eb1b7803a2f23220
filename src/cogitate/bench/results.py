"""What a benchmark run has found: outcomes of questions in cells, and pools of samples.

These are plain values. The runner writes them, metrics reduce them, reports show them; nothing here knows of
journals, engines or pages. Seconds and hosts are kept apart (`Timing`), so that everything else is equal, byte
for byte, in every run of the same grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from cogitate.core.usage import ZERO, Budget, Usage


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one cell made of one question."""

    question: str
    """Id of the question, unique in its task."""
    answer: str | None
    """The selected answer; `None` where the strategy abstained."""
    correct: bool
    """Whether the selected answer is right; false where there is none."""
    truncated: bool = False
    """Whether the selected text was cut by a cap."""
    stopped: str = ""
    """Why the strategy ended early: `budget`, `deadline`, `decided`…; empty where it ran its course."""
    usage: Mapping[str, Usage] = field(default_factory=lambda: MappingProxyType({}))
    """Everything charged, by role; what came from the reply cache is charged too."""
    candidates: int = 0
    """Candidates in the ranking."""
    candidates_correct: int = 0
    """How many of them are right; for the oracle, never for accuracy."""

    @property
    def abstained(self) -> bool:
        """Whether no answer was given."""
        return self.answer is None

    @property
    def spent(self) -> Usage:
        """The usage of all roles together."""
        return sum(self.usage.values(), ZERO)


@dataclass(frozen=True, slots=True)
class Key:
    """Which cell of the grid: one task, model, strategy, budget and seed."""

    task: str
    model: str
    """The grid's label of the model."""
    strategy: str
    """The strategy's printed spec."""
    budget: Budget = field(default_factory=Budget)
    """Of each question."""
    seed: int = 0

    @property
    def name(self) -> str:
        """The cell in words, by which `Timing` holds its seconds."""
        bound = f" {self.budget!r}" if self.budget.bounds() else ""
        return f"{self.task} / {self.model} / {self.strategy}{bound} / seed {self.seed}"


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell with its outcomes, in the order of the task's questions."""

    key: Key
    outcomes: Sequence[Outcome]
    line: str = ""
    """The family of the strategy, for curves: cells of one task, model and line differ in `n` only."""
    n: int | None = None
    """The strategy's number of samples or its width, where the grid varies it."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """The samples of one question in a pool, as selection sees them: one entry a sample in each field."""

    question: str
    classes: tuple[int | None, ...]
    """Class of equal answers; `None` where the sample abstains or was cut."""
    correct: tuple[bool, ...]
    tokens: tuple[int, ...]
    """Generated tokens of each sample."""
    truncated: tuple[bool, ...]
    scores: Mapping[str, tuple[float | None, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    """Scorer's printed spec to the score of each sample; `None` where it could not judge."""
    tokens_in: int = 0
    """Prompt tokens of one sample."""
    scored: Mapping[str, Usage] = field(default_factory=lambda: MappingProxyType({}))
    """Scorer's printed spec to what judging all samples cost."""


@dataclass(frozen=True, slots=True)
class Pool:
    """All samples of one task by one model; selection methods are compared on it offline."""

    task: str
    model: str
    seed: int
    questions: Sequence[Drawn]
    process: str = ""
    """Printed spec of the process that drew them."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Host and wall-clock of a run; in a file of its own, and in a part of the report of its own."""

    host: Mapping[str, Any]
    seconds: Mapping[str, float]
    """Wall-clock by the cell's `Key.name`; of all sittings together where the run was resumed."""


@dataclass(frozen=True, slots=True)
class Found:
    """A whole run."""

    card: Mapping[str, Any]
    """The run card: package version, tasks with checksum, licence and rows, models with fingerprints, strategies,
    budgets, seeds, hashes of the prompt files. JSON values; no seconds, no host."""
    cells: tuple[Cell, ...]
    pools: tuple[Pool, ...] = ()
    timing: Timing | None = None
