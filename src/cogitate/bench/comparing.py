"""Two runs, or two cells of one, question by question: differences, tests, wins and losses, cost ratios."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Final

from cogitate.assembly import read
from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Budget
from cogitate.rules.statistics import holm, ratio_bootstrap

from .metrics.cells import is_right, share
from .metrics.costs import COST_UNITS, DRAWS, NOTHING_KNOWN, Shape, cost_of, shapes_of
from .metrics.pairs import paired
from .metrics.values import Accuracy, Difference, Value
from .results import Cell, Found, Outcome

ASPECTS: Final = ("task", "model", "strategy", "budget")
"""What cells of both sides have in common, unless each side has but one of it."""


@dataclass(frozen=True, slots=True)
class Ratio(Value):
    """How many times the first side's cost the second side's is, on the questions that both have."""

    unit: str = ""
    first: float = 0.0
    """Mean cost of a question."""
    second: float = 0.0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Compared:
    """Two cells on the questions that both have; all seeds of a cell together."""

    task: str
    first: str
    """What is compared: model, strategy and budget, as far as they tell the two apart."""
    second: str
    line: str
    n: int | None
    accuracy_first: Accuracy
    """On the questions that both have."""
    accuracy_second: Accuracy
    difference: Difference
    """Second less first, paired by question; a win is a question on which the second is better."""
    adjusted: float
    """Its p, adjusted for all comparisons made at once (Holm)."""
    only_first: tuple[str, ...]
    """Questions that the second side lacks; they take no part."""
    only_second: tuple[str, ...]
    costs: Mapping[str, Ratio | None]
    """Unit to the ratio of mean costs, second over first; `None` where a side is unknown, or costs nothing."""
    abstained: tuple[int, int]
    truncated: tuple[int, int]

    @property
    def worse(self) -> bool:
        """Whether the second side is worse beyond chance, with all comparisons counted."""
        return self.difference.estimate < 0 and self.adjusted < 1 - self.difference.confidence


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that two sides have in common, compared."""

    first: str
    second: str
    pairs: tuple[Compared, ...]
    unmatched_first: tuple[str, ...]
    """Cells that have no partner."""
    unmatched_second: tuple[str, ...]

    @property
    def note(self) -> str:
        """What was done against chance finds."""
        k = len(self.pairs)
        return (
            f"{k} comparisons were made at once: p is adjusted by Holm's method, so that the chance of any false find "
            "among them stays below 5 %. Intervals are not adjusted."
            if k > 1
            else "One comparison: p needs no adjustment."
        )


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a run, or some of its cells."""

    name: str
    found: Found
    strategy: str | None = None
    """Only cells of this spec, however it is written, or of this line and any N."""
    model: str | None = None
    task: str | None = None
    n: int | None = None

    def cells(self) -> list[Cell]:
        """The cells that were asked for and have outcomes.

        Raises:
            InvalidInput: where there are none.
        """
        spelt = (None, *_spellings(self.strategy))
        wanted = ((self.task, "task"), (self.model, "model"), (self.n, "n"))
        kept = [
            c
            for c in self.found.cells
            if c.outcomes
            and self.task in (None, c.key.task)
            and self.model in (None, c.key.model)
            and self.n in (None, c.n)
            and (self.strategy is None or c.key.strategy in spelt or c.line in spelt)
        ]
        if not kept:
            asked = [f"strategy {self.strategy!r}"] if self.strategy is not None else []
            asked += [f"{name} {value!r}" for value, name in wanted if value is not None]
            held = sorted({c.key.strategy for c in self.found.cells if c.outcomes})
            raise InvalidInput(
                f"{self.name} has no outcomes{' of ' + ', '.join(asked) if asked else ''}; it has "
                f"{'those of ' + '; '.join(held) if held else 'none at all: run it first'}"
            )
        return kept


def _spellings(strategy: str | None) -> tuple[str, ...]:
    """A spec as it was written and as it prints itself."""
    if strategy is None:
        return ()
    try:
        return (strategy, str(read(strategy)))
    except InvalidInput:  # a line, such as self_consistency(n={n}), is no spec
        return (strategy,)


def compare(
    first: Side,
    second: Side,
    *,
    shapes: Mapping[str, Shape] | None = None,
    seed: int = 0,
) -> Comparison:
    """Set two sides against each other, cell by cell, on the questions that both have.

    Cells are partners where task, model, strategy and budget agree; what each side has but one of need not: two
    strategies, or two models, are compared by giving sides of one each. Cells that differ in their seed alone
    are one, and a question counts with the share of its seeds that got it right.

    Args:
        first: the side from which the difference is counted, such as the older run.
        second: the side whose gain or loss is told.
        shapes: model label to what is known of its size, by default what the run cards say.
        seed: of the bootstraps.

    Raises:
        InvalidInput: where the sides have no cell, or no question of one, in common.
    """
    held, others = _groups(first.cells()), _groups(second.cells())
    free = [
        i
        for i in range(len(ASPECTS))
        if len({k[i] for k in held}) == len({k[i] for k in others}) == 1
    ]
    partner = {_bound(key, free): key for key in others}
    known = (
        {**shapes_of(second.found.card), **shapes_of(first.found.card)}
        if shapes is None
        else shapes
    )
    pairs: list[Compared] = []
    lone: list[str] = []
    apart = [i for i in free if i and next(iter(held))[i] != next(iter(others))[i]]
    for key, cells in held.items():
        match = partner.pop(_bound(key, free), None)
        if match is None:
            lone.append(_named(key))
            continue
        labels = _labels(key, match, apart, first.name, second.name)
        pairs.append(_pair(cells, others[match], labels, known, seed))
    if not pairs:
        raise _nothing_in_common(first, second, lone, others)
    adjusted = holm([p.difference.p for p in pairs])
    return Comparison(
        first.name,
        second.name,
        tuple(replace(p, adjusted=a) for p, a in zip(pairs, adjusted, strict=True)),
        tuple(lone),
        tuple(_named(key) for key in partner.values()),
    )


_Key = tuple[str, str, str, Budget]


def _nothing_in_common(
    first: Side, second: Side, lone: Sequence[str], others: Iterable[_Key]
) -> InvalidInput:
    return InvalidInput(
        f"{first.name} and {second.name} have no cell in common: the first has {'; '.join(lone)}; the second "
        f"{'; '.join(_named(k) for k in others)}; give one strategy of each, as FOLDER#STRATEGY"
    )


def _groups(cells: Iterable[Cell]) -> dict[_Key, list[Cell]]:
    groups: dict[_Key, list[Cell]] = {}
    for cell in cells:
        key = (cell.key.task, cell.key.model, cell.key.strategy, cell.key.budget)
        groups.setdefault(key, []).append(cell)
    return groups


def _bound(key: _Key, free: Sequence[int]) -> tuple[object, ...]:
    return tuple(part for i, part in enumerate(key) if i not in free)


def _named(key: _Key) -> str:
    budget = f" {key[3]!r}" if key[3].bounds() else ""
    return f"{key[0]} / {key[1]} / {key[2]}{budget}"


def _labels(
    key: _Key, match: _Key, apart: Sequence[int], first: str, second: str
) -> tuple[str, str]:
    """What tells the two apart: what differs in their cells, or else the runs."""
    if not apart:
        told = key[2] if key[2] == match[2] else ""
        return f"{told} in {first}".strip(), f"{told} in {second}".strip()
    sides = [" / ".join(str(k[i]) for i in apart) for k in (key, match)]
    return sides[0], sides[1]


def _pair(
    cells: Sequence[Cell],
    others: Sequence[Cell],
    labels: tuple[str, str],
    shapes: Mapping[str, Shape],
    seed: int,
) -> Compared:
    mine, theirs = _runs(cells), _runs(others)
    shared = [q for q in mine if q in theirs]
    if not shared:
        raise InvalidInput(
            f"{labels[0]} and {labels[1]} have no question of {cells[0].key.task} in common; were they run on "
            "the same rows?"
        )
    scores = [[fmean(is_right(o) for o in runs[q]) for q in shared] for runs in (mine, theirs)]
    seeds = [tuple(sorted(c.key.seed for c in side)) for side in (cells, others)]
    kept = [[o for q in shared for o in runs[q]] for runs in (mine, theirs)]
    return Compared(
        cells[0].key.task,
        *labels,
        cells[0].line if cells[0].line == others[0].line else "",
        cells[0].n if cells[0].n == others[0].n else None,
        share(Accuracy, scores[0], seed, seeds[0]),
        share(Accuracy, scores[1], seed, seeds[1]),
        paired(scores[1], scores[0], seed, tuple(sorted({*seeds[0], *seeds[1]}))),
        1.0,
        tuple(q for q in mine if q not in theirs),
        tuple(q for q in theirs if q not in mine),
        _ratios(
            [mine[q] for q in shared],
            [theirs[q] for q in shared],
            shapes.get(cells[0].key.model, NOTHING_KNOWN),
            shapes.get(others[0].key.model, NOTHING_KNOWN),
            seed,
        ),
        (sum(o.abstained for o in kept[0]), sum(o.abstained for o in kept[1])),
        (sum(o.truncated for o in kept[0]), sum(o.truncated for o in kept[1])),
    )


def _runs(cells: Sequence[Cell]) -> dict[str, list[Outcome]]:
    runs: dict[str, list[Outcome]] = {}
    for cell in cells:
        for outcome in cell.outcomes:
            runs.setdefault(outcome.question, []).append(outcome)
    return runs


def _ratios(
    mine: Sequence[Sequence[Outcome]],
    theirs: Sequence[Sequence[Outcome]],
    shape: Shape,
    other: Shape,
    seed: int,
) -> dict[str, Ratio | None]:
    found: dict[str, Ratio | None] = {}
    costs = [[cost_of(o.usage, shape) for o in runs] for runs in mine]
    others = [[cost_of(o.usage, other) for o in runs] for runs in theirs]
    for unit in COST_UNITS:
        above = [c.units[unit] for runs in costs for c in runs]
        below = [c.units[unit] for runs in others for c in runs]
        if None in above or None in below or not any(above):
            found[unit] = None
            continue
        a = [fmean(c.units[unit] or 0.0 for c in runs) for runs in costs]
        b = [fmean(c.units[unit] or 0.0 for c in runs) for runs in others]
        spread = ratio_bootstrap(b, a, seed, draws=DRAWS)
        found[unit] = Ratio(
            len(a),
            spread.value,
            spread.low,
            spread.high,
            "bootstrap",
            unit=unit,
            first=fmean(a),
            second=fmean(b),
            estimated=any(unit in c.estimated for side in (costs, others) for r in side for c in r),
        )
    return found
