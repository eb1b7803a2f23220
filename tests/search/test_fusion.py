"""Fusion: the last answer is shown the best drafts, and stands first."""

from __future__ import annotations

from typing import Any

import pytest

from cogitate.core.candidates import Artifact, Ranking, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.processes import Answer, Tool, ToolUse
from cogitate.search import BestOf, Fusion, Solve
from cogitate.testing import FakeEngine, Scripted

TASK = Task.of("Name a tree.")


class Longest:
    """The longer, the better."""

    async def __call__(self, task: Task, states: Any) -> Any:
        return [Score(float(len(state.text))) for state in states]


def fused(lines: Any, search: Fusion, **how: Any) -> tuple[Scripted, Ranking[Artifact]]:
    engine = Scripted(lines)
    done = run(Solve(Answer(max_tokens=20), Longest(), search)(TASK, Seed(0)), engine, **how)
    assert done.idle
    return engine, done.value


def test_the_last_answer_is_shown_the_best_drafts_and_stands_first() -> None:
    lines = ["oak", "a long elm", "a fir!", "an ash"]
    engine, ranking = fused([*lines, "The oak."], Fusion(BestOf(4), show=2))
    said = "\n".join(message.content for message in engine.requests[-1].prompt.messages)
    assert "a long elm" in said
    assert ("a fir!" in said) != ("an ash" in said), "equally long, and the earlier is shown"
    assert "oak" not in said
    assert [c.state.text for c in ranking.items] == [
        "The oak.",
        "a long elm",
        "a fir!",
        "an ash",
        "oak",
    ]
    best = ranking.best
    assert (best.id, best.parent, ranking.stopped) == ("fused", "1", "")
    assert isinstance(best.score, Unscored)
    assert isinstance(ranking.items[1].score, Score)


def test_drafts_are_the_samples_of_every_other_strategy() -> None:
    engine = FakeEngine(record=True)
    run(Solve(Answer(), Longest(), Fusion(BestOf(3)))(TASK, Seed(0)), engine)
    other = FakeEngine(record=True)
    run(Solve(Answer(), Longest(), BestOf(3))(TASK, Seed(0)), other)
    assert engine.served[:3] == other.served


@pytest.mark.parametrize("final", [False, True])
def test_only_the_last_generation_is_final_and_only_where_it_was_asked_for(final: bool) -> None:
    engine, _ = fused(["a", "b", "c"], Fusion(BestOf(2), final=final))
    assert [request.final for request in engine.requests] == [False, False, final]


def test_where_the_last_answer_fails_the_drafts_stand() -> None:
    _, ranking = fused(["oak", "an elm", Failed("gone", "crashed")], Fusion(BestOf(2)))
    assert [c.state.text for c in ranking.items] == ["an elm", "oak"]
    assert ranking.stopped == ""
    assert "not fused (gone)" in ranking.note


def test_without_a_draft_there_is_nothing_to_fuse() -> None:
    gone = Failed("gone", "crashed")
    engine, ranking = fused([gone, gone], Fusion(BestOf(2)))
    assert (len(engine.requests), ranking.items, ranking.stopped) == (2, (), "failed")


def test_drafts_leave_money_for_the_last_answer() -> None:
    """Of 8 calls the drafts may have 6."""
    _, ranking = fused("x", Fusion(BestOf(8)), budget=Budget(calls=8))
    assert ranking.best.id == "fused"
    assert len(ranking.items) == 7
    _, ranking = fused("x", Fusion(BestOf(8), share=0.0), budget=Budget(calls=8))
    assert ranking.best.id != "fused"
    assert ranking.stopped == "budget"
    _, ranking = fused("x", Fusion(BestOf(8)), budget=Budget(calls=1))
    assert len(ranking.items) == 1, "too little to share: a draft is better than nothing"


def test_what_does_not_fit_is_refused() -> None:
    talk = ToolUse((Tool("look"),))
    with pytest.raises(InvalidInput, match="cannot write from earlier answers"):
        run(Fusion()(talk, Longest(), TASK, Seed(0)), FakeEngine())  # pyright: ignore
    for wrong in ({"show": 0}, {"share": 1.0}, {"share": -0.1}):
        with pytest.raises(InvalidInput):
            Fusion(**wrong)
