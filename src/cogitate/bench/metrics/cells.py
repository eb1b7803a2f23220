"""From cells to rows: what one strategy makes of one task, with intervals and costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from cogitate.bench.results import Cell, Found, Outcome, Timing
from cogitate.core.errors import InvalidInput
from cogitate.core.usage import ZERO, Budget, Usage
from cogitate.rules.statistics import bootstrap, wilson

from .costs import DRAWS, NOTHING_KNOWN, Cost, Shape, amounts, by_role, cost_of, shapes_of
from .values import CONFIDENCE, Accuracy, Amount, Coverage, V


@dataclass(frozen=True, slots=True)
class Row:
    """What a strategy made of a task, all seeds of it together; the question is the unit."""

    task: str
    model: str
    strategy: str
    budget: Budget
    """Of a question."""
    line: str
    n: int | None
    seeds: tuple[int, ...]
    questions: int
    outcomes: int
    """Questions times seeds, as far as they were run."""
    accuracy: Accuracy
    """With Wilson's interval for one seed, and a bootstrap over questions for several."""
    bootstrapped: Accuracy
    """The same estimate with the bootstrap's interval."""
    any_right: Coverage
    """How often any of its candidates is right: what its selection could at most have reached."""
    correct: int
    abstained: int
    """Outcomes without an answer; each counts as wrong."""
    truncated: int
    """Outcomes whose selected text was cut."""
    stopped: Mapping[str, int]
    """Why outcomes ended early: reason to count."""
    candidates: float
    """Mean candidates of a question."""
    roles: Mapping[str, Usage]
    """What each role was charged in all: prompt and generated tokens, calls, …"""
    costs: Mapping[str, Amount | None]
    """Mean cost of a question by unit; `None` where unknown."""
    seconds: float | None = None
    """Wall-clock of all its cells; from the timing file alone."""
    scores: Mapping[str, float] = field(default_factory=dict[str, float], repr=False)
    """Question to the share of its seeds that got it right."""

    @property
    def spent(self) -> Usage:
        """What all roles were charged together."""
        return sum(self.roles.values(), ZERO)

    @property
    def throughput(self) -> float | None:
        """Outcomes a second of wall-clock."""
        return self.outcomes / self.seconds if self.seconds else None


@dataclass(frozen=True, slots=True)
class Table:
    """All rows of a run."""

    rows: tuple[Row, ...]
    confidence: float
    draws: int
    """Resamples behind each bootstrap."""
    seed: int
    """Of the bootstraps."""
    empty: tuple[str, ...] = ()
    """Cells without an outcome yet, in words; they have no row."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks, in the order of the rows."""
        return tuple(dict.fromkeys(r.task for r in self.rows))

    def of(self, task: str, model: str | None = None) -> tuple[Row, ...]:
        """The rows of a task, and of a model."""
        return tuple(r for r in self.rows if r.task == task and model in (None, r.model))


def table(found: Found, *, shapes: Mapping[str, Shape] | None = None, seed: int = 0) -> Table:
    """What a run found, cell by cell; cells that differ in their seed alone are one row.

    Args:
        found: the run.
        shapes: model label to what is known of its size; by default what the run card says.
        seed: of the bootstraps.

    Raises:
        InvalidInput: for a question that a cell holds twice, or a cell that the run holds twice.
    """
    known = shapes_of(found.card) if shapes is None else shapes
    groups: dict[tuple[object, ...], list[Cell]] = {}
    empty: list[str] = []
    for cell in found.cells:
        key = cell.key
        if not cell.outcomes:
            empty.append(key.name)
            continue
        place = (key.task, key.model, key.strategy, key.budget, cell.line, cell.n)
        groups.setdefault(place, []).append(cell)
    rows = [
        row_of(cells, known.get(cells[0].key.model, NOTHING_KNOWN), found.timing, seed)
        for cells in groups.values()
    ]
    return Table(tuple(rows), CONFIDENCE, DRAWS, seed, tuple(empty))


def row_of(
    cells: Sequence[Cell],
    shape: Shape = NOTHING_KNOWN,
    timing: Timing | None = None,
    seed: int = 0,
) -> Row:
    """The row of cells that differ in their seed alone."""
    key, seeds = cells[0].key, tuple(sorted(c.key.seed for c in cells))
    if len(set(seeds)) < len(seeds):
        raise InvalidInput(f"the cell {key.name} is there twice; give each seed once")
    if not any(c.outcomes for c in cells):
        raise InvalidInput(f"the cell {key.name} has no outcomes; run it first")
    runs: dict[str, list[Outcome]] = {}
    for cell in cells:
        _check(cell)
        for outcome in cell.outcomes:
            runs.setdefault(outcome.question, []).append(outcome)
    outcomes = [o for held in runs.values() for o in held]
    scores = {q: fmean(is_right(o) for o in held) for q, held in runs.items()}
    best = [fmean(_any_right(o) for o in held) for held in runs.values()]
    costs: list[list[Cost]] = [[cost_of(o.usage, shape) for o in h] for h in runs.values()]
    return Row(
        key.task,
        key.model,
        key.strategy,
        key.budget,
        cells[0].line,
        cells[0].n,
        seeds,
        len(runs),
        len(outcomes),
        share(Accuracy, list(scores.values()), seed, seeds),
        bootstrapped(Accuracy, list(scores.values()), seed, seeds),
        share(Coverage, best, seed, seeds),
        sum(map(is_right, outcomes)),
        sum(o.abstained for o in outcomes),
        sum(o.truncated for o in outcomes),
        dict(sorted(Counter(o.stopped for o in outcomes if o.stopped).items())),
        fmean(o.candidates for o in outcomes),
        by_role(o.usage for o in outcomes),
        amounts(costs, seed, seeds),
        _seconds(cells, timing),
        scores,
    )


def is_right(outcome: Outcome) -> bool:
    """Whether a question counts as answered; without an answer it is wrong, whatever the record says."""
    return outcome.correct and not outcome.abstained


def share(
    kind: type[V],
    values: Sequence[float],
    seed: int,
    seeds: tuple[int, ...] = (),
    error: float = 0.0,
) -> V:
    """The mean over questions: with Wilson's interval where each is 0 or 1, else with a bootstrap over questions."""
    if all(v in (0.0, 1.0) for v in values):
        return kind.of(wilson(sum(values), len(values)), len(values), "wilson", seeds, error)
    return bootstrapped(kind, values, seed, seeds, error)


def bootstrapped(
    kind: type[V],
    values: Sequence[float],
    seed: int,
    seeds: tuple[int, ...] = (),
    error: float = 0.0,
) -> V:
    """The mean over questions with its bootstrap interval; Wilson's where all are equal, and a bootstrap sees no doubt."""
    mean = fmean(values)
    if max(values) - min(values) < 1e-12:
        found = wilson(min(max(mean, 0.0), 1.0) * len(values), len(values))
        return kind.of(found, len(values), "wilson", seeds, error)
    found = bootstrap(values, seed, draws=DRAWS, expanded=True)
    return kind.of(found, len(values), "bootstrap", seeds, error)


def _any_right(outcome: Outcome) -> bool:
    return is_right(outcome) or outcome.candidates_correct > 0


def _check(cell: Cell) -> None:
    twice = [q for q, count in Counter(o.question for o in cell.outcomes).items() if count > 1]
    if twice:
        raise InvalidInput(
            f"the cell {cell.key.name} holds the question {twice[0]!r} twice; ids must be unique in a task"
        )


def _seconds(cells: Iterable[Cell], timing: Timing | None) -> float | None:
    if timing is None:
        return None
    known = [timing.seconds.get(c.key.name) for c in cells]
    held = [s for s in known if s is not None]
    return sum(held) if len(held) == len(known) else None
