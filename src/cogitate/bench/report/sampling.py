"""Which questions get a page: a report cannot hold a hundred thousand of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cogitate.bench.metrics.cells import is_right
from cogitate.bench.results import Cell, Outcome

QUESTIONS: Final = 200
"""Pages in a report, where nobody says."""
SPLIT, NONE, ALL = "the cells disagree", "no cell is right", "every cell is right"
RULE: Final = (
    "Questions on which the cells disagree come first, the most evenly split before the others; then those that no "
    "cell got right, then those that every cell got right, each in the order of the task."
)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A question with a page."""

    task: str
    id: str
    right: int
    cells: int

    @property
    def why(self) -> str:
        """Which of the three kinds it is."""
        return NONE if self.right == 0 else ALL if self.right == self.cells else SPLIT


def chosen_questions(cells: Sequence[Cell], most: int = QUESTIONS) -> tuple[list[Chosen], int]:
    """The questions with a page, tasks in turn, and how many there are in all."""
    counts: dict[str, dict[str, list[int]]] = {}
    for cell in cells:
        held = counts.setdefault(cell.key.task, {})
        for outcome in cell.outcomes:
            count = held.get(outcome.question)
            if count is None:
                count = held[outcome.question] = [0, 0]
            count[0] += is_right(outcome)
            count[1] += 1
    total = sum(len(held) for held in counts.values())
    ranked = [_ranked(task, held) for task, held in counts.items()]
    found: list[Chosen] = []
    for turn in range(max(map(len, ranked), default=0)):
        found += [queue[turn] for queue in ranked if turn < len(queue)]
        if len(found) >= most:
            break
    kept = found[:most]
    order = {task: place for place, task in enumerate(counts)}
    kept.sort(key=lambda c: order[c.task])  # stable: each task's own order stays
    return kept, total


def _ranked(task: str, held: Mapping[str, Sequence[int]]) -> list[Chosen]:
    every = [Chosen(task, id, right, cells) for id, (right, cells) in held.items()]

    def rank(one: Chosen) -> tuple[int, float]:
        if one.why == SPLIT:
            return 0, abs(2 * one.right - one.cells) / one.cells
        return (1 if one.why == NONE else 2), 0.0

    return sorted(every, key=rank)


def answers_of(
    cells: Sequence[Cell], chosen: Sequence[Chosen]
) -> dict[tuple[str, str], list[tuple[int, Outcome]]]:
    """Task and id of each chosen question to the cells' numbers and outcomes."""
    found: dict[tuple[str, str], list[tuple[int, Outcome]]] = {(c.task, c.id): [] for c in chosen}
    for number, cell in enumerate(cells):
        for outcome in cell.outcomes:
            held = found.get((cell.key.task, outcome.question))
            if held is not None:
                held.append((number, outcome))
    return found
