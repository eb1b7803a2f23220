"""The confident vote: what it saves on planted doubt, what it may not lose, and that order is of no matter."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.events import Noted
from cogitate.core.journal import Tape
from cogitate.core.protocols import Limits
from cogitate.core.requests import Generate
from cogitate.core.seeds import Seed
from cogitate.core.until import GIVEN_UP, ConfidenceBelow, Contains
from cogitate.core.usage import Budget
from cogitate.drive import replay, run, run_async
from cogitate.drive.routing import Router
from cogitate.processes import Answer, Boundaries, Reasoning
from cogitate.rules.confidence import group_means, token_confidence
from cogitate.scorers import Confidence, Judge, Majority, Weighted
from cogitate.search import BestOf, ConfidentVote, Solve
from cogitate.testing import FakeEngine, Scripted, Simulated, simulated_tasks

WINDOW = 6
VOTE = Weighted(Confidence("lowest", window=WINDOW))
PROCESS = Answer(logprobs=5, max_tokens=400)


class Heard:
    """An engine that remembers requests and replies."""

    def __init__(self, engine):
        self.engine, self.seen = engine, []

    def __getattr__(self, name):
        return getattr(self.engine, name)

    async def serve(self, batch, emit=lambda i, t: None):
        replies = await self.engine.serve(batch, emit)
        self.seen += [(q, r) for q, r in zip(batch, replies, strict=True)]
        return replies

    @property
    def drawn(self):
        return [(q, r.value) for q, r in self.seen if isinstance(q, Generate)]


def graded(engine):
    """The engine, and another that grades what it says."""
    return Router({"policy": (engine, FakeEngine())})


def search(**known):
    defaults = {"n": 24, "warmup": 8, "keep": 0.6, "consensus": 1.0, "window": WINDOW}
    return ConfidentVote(**{**defaults, **known})


def solved(found, task, *, engine=None, scorer=VOTE, process=PROCESS, seed=0, **known):
    heard = Heard(engine or Simulated(skill=0.5, doubt=0.9))
    done = run(Solve(process, scorer, found)(task, Seed(seed)), graded(heard), **known)
    return done.value, heard


def lowest(completion):
    places = [[info.logprob for info in place] for place in completion.top]
    return min(group_means([token_confidence(place, 5) for place in places], WINDOW))


def test_tokens_are_saved_on_planted_doubt_and_accuracy_is_not_lost():
    """Wrong samples are written in doubt: they are given up, and the vote of the rest is better."""
    saved = spent = whole = 0
    right = {"confident": 0, "majority": 0}
    for task, answer in simulated_tasks(30, seed=5, difficulty=8):
        engine = Simulated(skill=0.25, attractor=0.6, doubt=0.9)
        mine, heard = solved(search(), task, engine=engine)
        plain, all_of_it = solved(BestOf(24), task, engine=engine, scorer=Majority())
        for _, completion in heard.drawn:
            spent += completion.tokens
        whole += sum(completion.tokens for _, completion in all_of_it.drawn)
        given_up = [c for _, c in heard.drawn if c.stopped_by == GIVEN_UP]
        saved += len(given_up)
        right["confident"] += mine.best.state.answer == answer
        right["majority"] += plain.best.state.answer == answer
        # What was given up is what would have been written, cut.
        full = {q.seed: c for q, c in all_of_it.drawn}
        for request, completion in heard.drawn:
            assert full[request.seed].text.startswith(completion.text)
            if completion.stopped_by:
                assert completion.tokens <= full[request.seed].tokens
    assert saved > 100
    assert spent < 0.9 * whole
    assert right["confident"] > right["majority"] + 3


def test_without_doubt_there_is_nothing_to_gain():
    """The null: where confidence says nothing of being right, the vote is no better than a majority."""
    right = {"confident": 0, "majority": 0}
    for task, answer in simulated_tasks(30, seed=5, difficulty=8):
        engine = Simulated(skill=0.25, attractor=0.6)
        mine, _ = solved(search(), task, engine=engine)
        plain, _ = solved(BestOf(24), task, engine=engine, scorer=Majority())
        right["confident"] += mine.best.state.answer == answer
        right["majority"] += plain.best.state.answer == answer
    assert right["confident"] <= right["majority"] + 3


def test_the_threshold_and_the_vote_by_hand():
    ((task, _),) = simulated_tasks(1, seed=2, difficulty=6)
    notes = []
    found, heard = solved(
        search(),
        task,
        listen=lambda e: notes.append(e) if isinstance(e, Noted) else None,
    )
    full = {}
    for i in range(24):
        seed = Seed(0).at("sample", i).at("step", 0).int()
        full[i] = next(q for q, _ in heard.drawn if q.seed == seed)
    confidence = {
        i: lowest(Simulated(skill=0.5, doubt=0.9).write(replace(q, until=())))
        for i, q in full.items()
    }
    threshold = sorted((confidence[i] for i in range(8)), reverse=True)[4]  # 0.6 of 8, rounded up
    assert [full[i].until for i in range(8)] == [()] * 8
    stop = ConfidenceBelow(threshold, window=WINDOW, top=5)
    assert {full[i].until for i in range(8, 24)} == {(stop,)}
    voters = {i for i in range(24) if confidence[i] >= threshold}
    scored = {int(c.id) for c in found.items if isinstance(c.score, Score)}
    assert scored == voters
    assert 5 <= len(voters) < 24
    totals = {}
    for c in found.items:
        if int(c.id) in voters:
            totals[c.state.answer] = totals.get(c.state.answer, 0.0) + confidence[int(c.id)]
    assert found.best.state.answer == max(totals, key=totals.get)
    for c in found.items:
        if isinstance(c.score, Unscored):
            assert c.score.cause == "abstained"
            assert "below" in c.score.reason
    by_kind = {n.kind: n.data for n in notes if n.kind != "expanded"}
    assert by_kind["threshold"] == {"value": threshold, "samples": 8}
    assert sorted(map(int, by_kind["pruned"]["ids"])) == sorted(set(range(24)) - voters)
    assert "given up" in found.note


def test_it_stops_at_the_consensus():
    ((task, answer),) = simulated_tasks(1, seed=2)
    sure = Simulated(skill=1.0)
    found, heard = solved(search(n=64, consensus=0.95), task, engine=sure)
    assert found.stopped == "decided"
    assert found.best.state.answer == answer
    assert len(heard.drawn) == 8
    assert "agreed after 8 of 64" in found.note
    _, heard = solved(
        search(n=64, warmup=2, consensus=0.95, keep=1.0, in_flight=1), task, engine=sure
    )
    assert len(heard.drawn) == 3  # at least three votes
    split, heard = solved(search(n=16, consensus=1.0), task, engine=Simulated(skill=0.3))
    assert (split.stopped, len(heard.drawn)) == ("", 16)


def test_counting_is_rare_and_the_last_sample_decides_nothing():
    ((task, _),) = simulated_tasks(1)
    engine = Simulated(skill=0.3, attractor=0.0)
    grader = Heard(FakeEngine())
    strategy = Solve(PROCESS, Majority(), search(n=256, keep=1.0, in_flight=64))
    found = run(strategy(task, Seed(0)), Router({"policy": (engine, grader)})).value
    assert found.stopped == ""
    graded_answers = sum(len(q.answers) for q, _ in grader.seen)
    assert 256 < graded_answers < 12 * 256
    whole, _ = solved(search(n=8), task, engine=Simulated(skill=1.0))
    assert whole.stopped == ""  # all were drawn, so it ended nothing early


def test_a_scorer_that_asks_is_asked_once_at_the_end():
    ((task, _),) = simulated_tasks(1)
    engine = Scripted({"judge": "Score: 7"}, otherwise=Simulated(skill=1.0))
    found, heard = solved(
        search(n=12, consensus=0.6), task, engine=engine, scorer=Weighted(Judge())
    )
    policy = [c for q, c in heard.drawn if q.role == "policy"]
    assert (len(policy), found.stopped) == (12, "")
    assert len(heard.drawn) - len(policy) <= 12


def test_a_majority_scorer_agrees_too():
    ((task, answer),) = simulated_tasks(1)
    engine = Scripted({}, otherwise=FakeEngine(answers=(answer,)))
    found, heard = solved(search(n=32), task, engine=engine, scorer=Majority())
    assert (found.stopped, len(heard.drawn)) == ("decided", 8)


def test_where_nobody_reaches_the_threshold_with_an_answer_all_vote():
    ((task, _),) = simulated_tasks(1)

    class Sure(Simulated):
        """The least doubtful sample is the one that says nothing."""

        def write(self, request):
            done = super().write(request)
            if request.seed == Seed(0).at("sample", 0).at("step", 0).int():
                place = tuple(replace(info, logprob=-9.0 * i) for i, info in enumerate(done.top[0]))
                return replace(done, text="hm", top=(place,) * len(done.top))
            return done

    found, heard = solved(search(n=6, warmup=6, keep=0.1), task, engine=Sure(skill=0.6))
    assert len(heard.drawn) == 6
    assert sum(isinstance(c.score, Score) for c in found.items) == 5
    assert found.best.state.answer is not None


def test_the_answer_does_not_depend_on_arrival():
    stopped = set()
    for seed in range(4):
        ((task, _),) = simulated_tasks(1, seed=seed)
        for in_flight in (None, 1, 16):
            strategy = Solve(PROCESS, VOTE, search(consensus=0.9, in_flight=in_flight))
            calm = run(strategy(task, Seed(0)), graded(Simulated(skill=0.4, doubt=0.9))).value
            slow = Simulated(skill=0.4, doubt=0.9, latency_s=0.001, limits=Limits(concurrency=16))
            tape = Tape()
            wild = asyncio.run(run_async(strategy(task, Seed(0)), graded(slow), journal=tape)).value
            assert wild == calm
            assert replay(strategy(task, Seed(0)), Tape(tape.records)).value == calm
            stopped.add(calm.stopped)
    assert stopped == {"", "decided"}


def test_every_cut_of_the_budget_gives_a_ranking():
    ((task, _),) = simulated_tasks(1)
    for calls in range(0, 26, 2):
        found, heard = solved(search(), task, budget=Budget(calls=calls))
        assert len(heard.drawn) <= calls
        assert bool(found.items) == (calls > 0)
        assert found.stopped == ("budget" if calls < 24 else "")


def test_lost_samples_do_not_stop_it():
    ((task, answer),) = simulated_tasks(1)
    turn = iter(range(1000))
    world = Simulated(skill=1.0)

    def script(request):
        return Failed("down") if next(turn) % 3 == 0 else world.write(request)

    found, _ = solved(search(n=12), task, engine=Scripted({"policy": script}))
    assert found.best.state.answer == answer
    dead, _ = solved(search(n=12), task, engine=Scripted({"policy": lambda r: Failed("down")}))
    assert (dead.items, dead.stopped) == ((), "failed")


@dataclass(frozen=True)
class Plain:
    """A process that cannot be watched."""

    inner: Answer

    async def start(self, task, seed):
        return await self.inner.start(task, seed)

    async def step(self, state, seed):
        return await self.inner.step(state, seed)

    def done(self, state):
        return self.inner.done(state)

    async def render(self, state) -> Artifact:
        return await self.inner.render(state)


def test_a_process_that_cannot_be_watched_is_said_so():
    ((task, _),) = simulated_tasks(1)
    found, heard = solved(search(), task, process=Plain(PROCESS))
    assert len(heard.drawn) == 24
    assert all(not q.until for q, _ in heard.drawn)
    assert "cannot be stopped by confidence" in found.note
    assert any("below" in c.score.reason for c in found.items if isinstance(c.score, Unscored))


def test_predicates_of_the_process_stay_and_logprobs_are_asked_for():
    ((task, _),) = simulated_tasks(1)
    process = Answer(until=(Contains("####"),), max_tokens=400)
    _, heard = solved(search(), task, process=process)
    assert {q.logprobs for q, _ in heard.drawn} == {5}
    assert {len(q.until) for q, _ in heard.drawn} == {1, 2}
    assert all(q.until[0] == Contains("####") for q, _ in heard.drawn)


def test_steps_are_watched_one_by_one():
    ((task, _),) = simulated_tasks(1, difficulty=6)
    process = Reasoning(Boundaries(max_step_tokens=60), logprobs=5)
    found, heard = solved(search(keep=0.9, window=4), task, process=process)
    given_up = [c for _, c in heard.drawn if c.stopped_by == GIVEN_UP]
    assert given_up
    for c in found.items:
        if any(piece.stopped_by == GIVEN_UP for piece in c.state.completions):
            assert not c.state.complete
            assert c.state.answer is None


@pytest.mark.parametrize(
    "wrong",
    [
        *({name: 0} for name in ("n", "warmup", "window", "top", "at_least", "in_flight", "keep")),
        *({"keep": 1.5}, {"consensus": 0.5}, {"consensus": 1.1}),
    ],
)
def test_senseless_settings_are_refused(wrong):
    with pytest.raises(InvalidInput):
        ConfidentVote(**wrong)
