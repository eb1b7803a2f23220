from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from search_toys import TASK, ByTable, Letters, engine, match

from cogitate.assembly import read
from cogitate.core.candidates import Artifact, Candidate, Ranking, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.events import Noted
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.drive import Router, run, run_async
from cogitate.engines.grading import Grader
from cogitate.lab.worlds import ChainModel, chains, preset, right_chance
from cogitate.processes import Answer
from cogitate.scorers import Majority
from cogitate.search import (
    Below,
    BestOf,
    ByAgreement,
    ByKind,
    Cascade,
    Escalate,
    Route,
    SelfConsistency,
    Solve,
    Unanswered,
)
from cogitate.testing import FakeEngine, Scripted

WORD = ByTable(match("dacb"))
ONE, MANY = (Solve(Letters(4), WORD, BestOf(n)) for n in (1, 6))


@dataclass(frozen=True)
class Says:
    """A strategy that answers at once."""

    answer: str | None
    score: float | None = 1.0
    error: Exception | None = None

    async def __call__(self, task: Task, seed: Seed) -> Ranking[Artifact]:
        if self.error is not None:
            raise self.error
        score = Unscored("nobody knows", "form") if self.score is None else Score(self.score)
        return Ranking((Candidate(Artifact(self.answer or "", self.answer), score, "0"),))


def went(strategy, *, task=TASK, **options):
    notes = []

    def hear(event):
        if isinstance(event, Noted):
            notes.append((event.kind, dict(event.data)))

    done = run(strategy(task, Seed(0)), engine(), listen=hear, **options)
    return done, [data for kind, data in notes if kind in ("escalated", "routed")]


# ----------------------------------------------------------------------------- escalation


def test_the_first_level_without_doubt_stands():
    done, ups = went(Escalate((Says("a", 0.2), Says("b", 0.7), Says("c", 0.9)), Below(0.6)))
    assert [(c.id, c.state.answer) for c in done.value.items] == [("1/0", "b"), ("0/0", "a")]
    assert ups == [{"level": 1, "reason": "the best score is 0.2, below 0.6"}]
    assert done.value.note.startswith("level 2 of 3 stands")


def test_where_all_are_in_doubt_the_last_answer_stands():
    done, ups = went(Escalate((Says("a", 0.1), Says("b", 0.2), Says(None, 0.0)), Below(0.6)))
    assert [c.id for c in done.value.items] == ["1/0", "0/0", "2/0"]
    assert len(ups) == 2


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (Says("a", None), "no score (nobody knows)"),
        (Says("a", error=Failed("it is dead", "server")), "nothing was found"),
        (Says("a", error=OutOfBudget("calls", 2, 1)), "nothing was found"),
    ],
)
def test_what_cannot_be_judged_is_in_doubt(first, reason):
    done, ups = went(Escalate((first, Says("b"))))
    assert done.value.best.state.answer == "b"
    assert reason in ups[0]["reason"]


def test_one_level_is_its_strategy_under_a_number():
    alone, _ = went(MANY)
    one, _ = went(Escalate((MANY,)))
    assert [c.state for c in one.value.items] == [c.state for c in alone.value.items]
    assert one.usage == alone.usage
    assert {c.id.split("/")[0] for c in one.value.items} == {"0"}


def test_a_cascade_is_an_escalation_of_two():
    for threshold in (0.1, 2.0):
        cascade, _ = went(Cascade(ONE, MANY, Below(threshold)))
        two, _ = went(Escalate((ONE, MANY), Below(threshold)))
        assert cascade.value == two.value
    cheap, _ = went(Cascade(ONE, MANY, Below(-1.0)))
    assert cheap.usage.calls == 4
    both, _ = went(Cascade(ONE, MANY, Below(2.0)))
    assert both.usage.calls == 4 + 24


def test_a_share_caps_the_cheap_one():
    for share, calls in ((0.5, 14), (0.25, 7)):
        done, _ = went(Cascade(MANY, ONE, Below(2.0), share), budget=Budget(calls=28))
        spent_first = calls - calls % 1
        assert done.usage.calls <= spent_first + 4
        assert any(c.id.startswith("1/") for c in done.value.items)


def test_only_the_last_level_ends_the_search():
    done, _ = went(Cascade(MANY, ONE, Below(2.0), 0.25), budget=Budget(calls=28))
    assert done.usage.calls < 28
    assert done.value.stopped == "", "its share cut the cheap one, and the dear one had its fill"
    done, _ = went(Cascade(ONE, MANY, Below(2.0)), budget=Budget(calls=9))
    assert done.value.stopped == "budget"
    done, _ = went(Cascade(ONE, Says("a", error=Failed("it is dead", "server")), Below(2.0)))
    assert done.value.stopped == ""
    assert done.value.best.id == "0/0"


def test_unanswered_doubts_only_silence():
    assert Unanswered()(Ranking()) == Unanswered()(Ranking((Candidate(Artifact("x"), Score(9)),)))
    assert not Unanswered()(Ranking((Candidate(Artifact("x", "x"), Unscored("?")),)))


def test_a_spent_budget_is_kept():
    for calls in (0, 3, 4, 5, 17, 28):
        done, _ = went(Cascade(ONE, MANY, Below(2.0)), budget=Budget(calls=calls))
        assert done.usage.calls <= calls
        assert done.idle
        assert bool(done.value.items) == (calls > 0)


def test_a_cascade_saves_on_easy_questions_of_a_world():
    """Cost by the chance that three samples agree; accuracy beside the dear one's."""
    world = preset("easy", attractor=0.0)
    problems = chains(world, 60)
    router = lambda: Router({"policy": (ChainModel(world),)}, [Grader()])  # noqa: E731
    few, many = (Solve(Answer(), Majority(), SelfConsistency(n, stop_early=False)) for n in (3, 24))

    def tried(strategy):
        right = calls = 0
        for i, p in enumerate(problems):
            done = asyncio.run(run_async(strategy(p.task, Seed(i)), router()))
            right += bool(done.value.items) and done.value.best.state.answer == p.gold
            calls += done.usage.calls
        return right, calls

    cheap, dear, both = tried(few), tried(many), tried(Cascade(few, many, Below(0.67)))
    assert both[1] < 0.6 * dear[1]
    assert both[0] >= dear[0] - 3
    assert cheap[1] == 3 * len(problems)
    assert sum(right_chance(world, p) for p in problems) / len(problems) > 0.7  # it is easy


# ---------------------------------------------------------------------------------- route


def test_a_route_goes_by_kind():
    route = Route(ByKind(("number", "code")), (Says("n"), Says("c"), Says("else")))
    for kind, answer, arm in (("number", "n", 0), ("code", "c", 1), ("text", "else", 2)):
        done, routed = went(route, task=Task.of("?", kind=kind))
        assert done.value.best.state.answer == answer
        assert done.value.best.id == f"{arm}/0"
        assert routed[0]["arm"] == arm


@dataclass(frozen=True)
class Stubborn:
    arm: int = 0
    error: Exception | None = None

    async def __call__(self, task: Task, seed: Seed) -> tuple[int, str]:
        if self.error is not None:
            raise self.error
        return self.arm, "so it is"


@pytest.mark.parametrize(
    "chooser", [Stubborn(8), Stubborn(-2), Stubborn(error=Failed("it is dead", "server"))]
)
def test_a_chooser_that_cannot_tell_leaves_the_last_arm(chooser):
    done, routed = went(Route(chooser, (Says("a"), Says("b"))))
    assert done.value.best.state.answer == "b"
    assert routed[0]["arm"] == 1


def test_agreement_decides_and_is_paid_for():
    world = preset("medium", attractor=0.0)
    problems = chains(world, 40)
    chooser = ByAgreement(Answer(), (0.75, 0.5), samples=4)
    seen = set()
    for i, p in enumerate(problems):
        router = Router({"policy": (ChainModel(world),)}, [Grader()])
        done = asyncio.run(run_async(chooser(p.task, Seed(i)), router))
        voted = Solve(Answer(), Majority(), BestOf(4))(p.task, Seed(i))
        again = asyncio.run(run_async(voted, router))
        share = again.value.best.value  # the vote of the same four samples
        arm = 0 if share >= 0.75 else 1 if share >= 0.5 else 2
        assert done.value[0] == arm
        assert done.usage.calls == 4
        seen.add(arm)
    assert seen == {0, 1, 2}


@pytest.mark.parametrize(
    ("texts", "arm", "said"),
    [
        (["#### 7", "#### 7", "#### 7", "#### 7"], 0, "100%"),
        (["#### 7", "#### 7", "who knows", "who knows"], 1, "50%"),
        (["#### 7", "#### 8", "#### 9", "#### 7"], 1, "50%"),
        (["who knows"] * 4, 2, "0%"),
    ],
)
def test_silence_is_no_agreement(texts, arm, said):
    chooser = ByAgreement(Answer(), (0.75, 0.5), samples=4)
    strategy = Route(chooser, (Says("a"), Says("b"), Says("c")))
    notes = []
    flow = strategy(Task.of("?", kind="number"), Seed(0))
    done = run(
        flow,
        Scripted({"policy": texts}, otherwise=FakeEngine()),
        listen=lambda e: notes.append(dict(e.data)) if isinstance(e, Noted) else None,
    )
    assert done.value.best.state.answer == "abc"[arm]
    assert notes[-1] == {"arm": arm, "reason": f"{said} of 4 samples agree"}


def test_senseless_settings_are_refused():
    for wrong in ((), (0.5, 0.5), (0.4, 0.6), (1.2,), (0.0,)):
        with pytest.raises(InvalidInput, match="falling shares"):
            ByAgreement(Answer(), wrong)
    with pytest.raises(InvalidInput, match="no arms"):
        Route(ByKind(()), ())
    with pytest.raises(InvalidInput, match="shares="):
        Escalate((ONE,), shares=(0.5, 0.5))


def test_specs_of_compositions_read_back_and_nest():
    spec = "vote(cascade(greedy(), best_of(n=4), below=0.9), n=2)"
    assert str(read(spec)) == spec
    made = read("escalate([greedy(), self_consistency(n=4)], below=0.5)").for_kind("math")
    assert made.doubt == Below(0.5)
    assert len(made.levels) == 2
    route = read("route([greedy(), best_of(), best_of(n=32)])").for_kind("math")
    assert route.chooser.edges == pytest.approx((2 / 3, 1 / 3))
