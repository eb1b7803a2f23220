"""The pages of questions, as the data that the report's script draws them from."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cogitate.bench.metrics.cells import is_right
from cogitate.bench.results import Cell, Found, Outcome
from cogitate.core.journal import Record
from cogitate.drive.grove import Branch, Grove
from cogitate.drive.thinning import worth_showing

from .journals import Asked, Journals, Texts
from .marking import clipped, in_script, visible
from .sampling import Chosen, answers_of, chosen_questions

TREES: Final = 60
"""Questions with trees and texts."""
NODES: Final = 80
"""Nodes of a tree that are shown."""
ROOM: Final = 9_000_000
"""Characters of all texts together; what comes later is left out."""
_TEXT: Final = 1600
_QUESTION: Final = 6000
_ANSWER: Final = 600
_TOLD: Final = 12
_PARTS: Final = re.compile(r"(\d+)")


@dataclass
class Pages:
    """What the script is given, and what was left out of it."""

    # Mutable on purpose: it is filled question by question.
    chosen: list[Chosen]
    total: int
    """Questions of the run."""
    cells: list[dict[str, Any]]
    questions: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    trees: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    texts: list[str] = field(default_factory=list[str])
    room: int = ROOM
    with_trees: int = 0
    """Questions that have at least one tree."""
    left_out: int = 0
    """Trees for which there was no room."""
    known: dict[str, int] = field(default_factory=dict[str, int])

    def text(self, text: str | None, most: int = _TEXT) -> int:
        """The number of a text; equal texts have the same, and -1 stands for none."""
        if text is None:
            return -1
        shown = visible(clipped(text, most))
        place = self.known.get(shown)
        if place is None:
            place = self.known[shown] = len(self.texts)
            self.texts.append(shown)
            self.room -= len(shown) + 4
        return place

    def said(self, place: int) -> str:
        """The text of a number; empty for none."""
        return self.texts[place] if place >= 0 else ""

    def parts(self) -> Iterator[str]:
        """The JSON in parts, safe in a script element."""
        models = len({cell["model"] for cell in self.cells})
        yield f'{{"models":{models},"cells":{in_script(self.cells)}'
        for name, held in (
            ("questions", self.questions),
            ("trees", self.trees),
            ("texts", self.texts),
        ):
            yield f',"{name}":['
            for i, one in enumerate(held):
                yield ("," if i else "") + in_script(one)
            yield "]"
        yield "}"


def pages_of(
    found: Found,
    names: Mapping[str, str],
    journals: Journals,
    texts: Texts,
    *,
    most: int,
    trees: int = TREES,
) -> Pages:
    """The pages of the chosen questions.

    Args:
        found: the run.
        names: what lines are called in the report.
        journals: where the trees come from.
        texts: where the questions come from.
        most: questions with a page.
        trees: questions with trees, at most.
    """
    chosen, total = chosen_questions(found.cells, most)
    pages = Pages(chosen, total, [_cell(cell, names) for cell in found.cells])
    answers = answers_of(found.cells, chosen)
    asked = _asked(chosen, texts)
    drawn = _trees(pages, found.cells, _first(chosen, trees), journals)
    for one in chosen:
        text, gold = asked.get((one.task, one.id), (None, None))
        held = answers[one.task, one.id]
        rows = [_answer(pages, n, o, drawn.get((n, one.id), -1)) for n, o in held]
        pages.with_trees += any(row[8] >= 0 for row in rows)
        pages.questions.append(
            {
                "task": visible(one.task),
                "id": visible(one.id),
                "why": f"{one.why}: {one.right} of {one.cells} right",
                "text": pages.text(text, _QUESTION),
                "gold": pages.text(gold, _QUESTION),
                "answers": rows,
            }
        )
    return pages


def _cell(cell: Cell, names: Mapping[str, str]) -> dict[str, Any]:
    key = cell.key
    budget = ", ".join(
        f"{amount:,.10g} {unit.replace('_', ' ')}" for unit, amount in key.budget.bounds()
    )
    return {
        "name": visible(names.get(cell.line, cell.line) or key.strategy),
        "spec": visible(key.strategy),
        "model": visible(key.model),
        "budget": budget,
        "n": cell.n,
        "seed": key.seed,
    }


def _asked(chosen: Sequence[Chosen], texts: Texts) -> dict[tuple[str, str], Asked]:
    found: dict[tuple[str, str], Asked] = {}
    for task in dict.fromkeys(c.task for c in chosen):
        ids = [c.id for c in chosen if c.task == task]
        found |= {(task, id): asked for id, asked in texts(task, ids).items()}
    return found


def _answer(pages: Pages, cell: int, outcome: Outcome, tree: int) -> list[Any]:
    spent = outcome.spent
    return [
        cell,
        pages.text(outcome.answer, _ANSWER),
        int(is_right(outcome)),
        int(outcome.truncated),
        pages.text(outcome.stopped or None, _ANSWER),
        spent.tokens_out,
        spent.calls,
        outcome.candidates,
        tree,
        outcome.candidates_correct,
    ]


# ------------------------------------------------------------------------------------------- trees


def _trees(
    pages: Pages, cells: Sequence[Cell], chosen: Sequence[Chosen], journals: Journals
) -> dict[tuple[int, str], int]:
    """The trees of some cells: of each line the largest N, with the first seed."""
    drawn: dict[tuple[int, str], int] = {}
    for number in _largest(cells):
        key = cells[number].key
        ids = [c.id for c in chosen if c.task == key.task]
        for id, records in journals(key, ids) if ids else ():
            tree = _tree(pages, records)
            if tree is None:
                continue
            if pages.room <= 0:
                pages.left_out += 1
                continue
            drawn[number, id] = len(pages.trees)
            pages.trees.append(tree)
    return drawn


def _first(chosen: Sequence[Chosen], most: int) -> list[Chosen]:
    """The first questions of each task, tasks in turn."""
    seen: dict[str, int] = {}
    turns: list[int] = []
    for one in chosen:
        seen[one.task] = seen.get(one.task, 0) + 1
        turns.append(seen[one.task])
    kept = set(sorted(range(len(chosen)), key=lambda i: (turns[i], i))[:most])
    return [one for i, one in enumerate(chosen) if i in kept]


def _largest(cells: Sequence[Cell]) -> list[int]:
    best: dict[tuple[object, ...], int] = {}
    for number, cell in enumerate(cells):
        key = cell.key
        place = (key.task, key.model, cell.line or key.strategy, key.budget)
        held = best.get(place)
        if held is None or _rank(cell) > _rank(cells[held]):
            best[place] = number
    return sorted(best.values())


def _rank(cell: Cell) -> tuple[int, int]:
    return cell.n or 0, -cell.key.seed


def _tree(pages: Pages, records: Sequence[Record]) -> dict[str, Any] | None:
    grove = Grove(longest=_TEXT)
    for record in records:
        if record.get("kind") in ("note", "reply"):
            grove.add(record)
    if not grove.nodes:
        return None
    nodes = sorted(worth_showing(grove, NODES), key=_order)
    places = {id(node): place for place, node in enumerate(nodes)}
    rows = [
        [
            pages.text(node.id, _ANSWER),
            _parent(node, places),
            _number(node.value),
            node.state,
            node.visits,
            _number(node.mean),
            pages.text(node.text),
            pages.text(node.reason or None, _ANSWER),
        ]
        for node in nodes
    ]
    told = [pages.text(d.told, _ANSWER) for d in grove.decisions[:_TOLD]]
    return {"nodes": rows, "left": grove.nodes - len(nodes), "told": told}


def _parent(node: Branch, places: Mapping[int, int]) -> int:
    """The nearest node above that is shown."""
    above = node.above
    while above is not None and id(above) not in places:
        above = above.above
    return -1 if above is None else places[id(above)]


def _order(node: Branch) -> tuple[object, ...]:
    """By place and name, numbers as numbers: arrival must not show."""
    parts = _PARTS.split(node.id)
    return node.place, [(int(p), "") if p.isdecimal() else (-1, p) for p in parts]


def _number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.4g}")
