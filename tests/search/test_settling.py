"""What a beam settles: only what all that is left goes on from."""

from __future__ import annotations

from typing import Any

import pytest

from cogitate.core.candidates import Score, Unscored
from cogitate.core.events import Noted
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.drive import run
from cogitate.processes import Boundaries, Reasoning
from cogitate.search import BeamSearch, DiverseTreeSearch
from cogitate.testing import FakeEngine, Scripted

TASK = Task.of("How many?", kind="number")
LINES = Reasoning(Boundaries(separators=("\n",)))


class Longest:
    """The longer, the better; `refused` once so many were judged."""

    def __init__(self, most: int = 99) -> None:
        self.left = most

    async def __call__(self, task: Task, states: Any) -> Any:
        self.left -= len(states)
        if self.left < 0:
            return [Unscored("nothing is left", "budget") for _ in states]
        return [Score(float(len(state.text))) for state in states]


def settled(search: Any, engine: Any, scorer: Any = None) -> tuple[list[str], list[str]]:
    """What was settled, and the texts of the ranking."""
    heard: list[str] = []

    def hear(event: Any) -> None:
        if isinstance(event, Noted) and event.kind == "settled":
            heard.append(event.data["text"])

    ranking = run(search(LINES, scorer or Longest(), TASK, Seed(0)), engine, listen=hear).value
    return heard, [c.state.text for c in ranking.items]


def test_a_lone_line_is_settled_step_by_step() -> None:
    lines = ["One.\n", "A long one.\n", "Two.\n", "A second.\n", "#### 4", "#### 4!"]
    heard, texts = settled(BeamSearch(1, 2, depth=3, settle=True), Scripted(lines))
    assert heard == ["A long one.\n", "A long one.\nA second.\n"]
    assert all(text.startswith(heard[-1]) for text in texts)


def test_nothing_is_settled_while_a_finished_sibling_can_still_win() -> None:
    """The kept line is never finished, so the one that was not kept is the answer."""
    heard, texts = settled(
        BeamSearch(1, 2, depth=1, settle=True), Scripted(["#### 4", "A long one.\n"])
    )
    assert (heard, texts[0]) == ([], "#### 4")
    lines = ["One.\n", "A long one.\n", "#### 4", "A second.\n"]
    heard, texts = settled(BeamSearch(1, 2, depth=2, settle=True), Scripted(lines))
    assert heard == ["A long one.\n"]
    assert texts[0] == "A long one.\n#### 4"


def test_nothing_is_settled_where_all_that_was_paid_for_is_kept() -> None:
    """The money for the scorer ended: both lines are left, and either may come first."""
    lines = ["One.\n", "A long one.\n"]
    heard, texts = settled(BeamSearch(1, 2, depth=3, settle=True), Scripted(lines), Longest(0))
    assert (heard, sorted(texts)) == ([], sorted(lines))


def test_a_wider_beam_settles_once_one_line_is_left() -> None:
    from cogitate.search import Table

    lines = ["One.\n", "A long one.\n", "Two.\n", "A second.\n", "x", "yy"]
    search = BeamSearch(Table((2, 1, 1)), 1, depth=3, settle=True)
    heard, texts = settled(search, Scripted(lines))
    assert len(heard) == 1
    assert texts[0].startswith(heard[0])


@pytest.mark.parametrize("search", [BeamSearch(1, 2, depth=4), DiverseTreeSearch(2, 2, 4)])
def test_others_settle_nothing(search: Any) -> None:
    assert settled(search, FakeEngine())[0] == []
