"""What a strategy tells while it writes: only what stands, and before the last word is written."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cogitate.assembly import Assembled, Configuration, plan, read, streaming
from cogitate.assembly.streaming import Streamed
from cogitate.core.candidates import Artifact, Ranking
from cogitate.core.errors import Failed
from cogitate.core.events import Answered, Chunk, Noted
from cogitate.core.journal import Tape
from cogitate.core.requests import Generate
from cogitate.core.seeds import Seed
from cogitate.core.task import Manner, Task
from cogitate.core.usage import Budget
from cogitate.drive import replay, run_async
from cogitate.processes import Answer, Reasoning
from cogitate.search import BeamSearch, BestOf, Fusion, Solve
from cogitate.testing import FakeEngine, Scripted

QUESTION = Task.of("Ann has 3 apples and buys 4 more. How many?", kind="number")
STEPS = "reasoning(max_steps=9, max_step_tokens=40)"
ENDING_IN_ONE = [
    "greedy()",
    f"greedy(process={STEPS})",
    "best_of(n=1)",
    "self_consistency(n=1)",
    f"beam_search(width=1, branch=1, process={STEPS})",
    "refine(rounds=0)",
    "sequential_revision(n=1)",
    "until_good(at_most=1)",
    "fusion()",
    f"fusion(n=3, process={STEPS})",
    "vote(greedy(), n=1)",
    "route((greedy(), fusion(n=2)))",
    "cascade(self_consistency(n=3), fusion(n=2), below=9.0)",
    "cascade(greedy(), greedy(), below=9.0)",
    "cascade(best_of(n=2), greedy(), below=0.0)",
    "escalate((best_of(n=2), best_of(n=3), greedy()), below=9.0)",
]
SETTLING = [f"beam_search(width=1, branch={branch}, process={STEPS})" for branch in (2, 4)]
BUFFERED = [
    "best_of(n=2)",
    "self_consistency(n=3)",
    "beam_search(width=2)",
    "vote(greedy(), n=2)",
    "vote(beam_search(width=1), n=3)",
    "dvts(trees=2)",
    "lookahead(width=1)",
    "mcts(iterations=2)",
    "refine(rounds=1)",
    "sequential_revision(n=2)",
    "evolution()",
    "cascade(greedy(), best_of(n=2))",
    "escalate((greedy(), self_consistency()))",
    "route((greedy(), best_of(n=2)))",
    "best_action()",
]


class Told:
    """What a reader of the stream has."""

    def __init__(self) -> None:
        self.chunks: list[str] = []
        self.settled: list[str] = []
        self.events: list[Any] = []

    def __call__(self, event: Any) -> None:
        self.events.append(event)
        match event:
            case Chunk(text=text, final=True):
                self.chunks.append(text)
            case Noted(kind="settled", data=data):
                self.settled.append(data["text"])
            case _:
                pass

    @property
    def text(self) -> str:
        assert not (self.chunks and self.settled)
        for before, after in zip(self.settled, self.settled[1:], strict=False):
            assert after.startswith(before)
        return "".join(self.chunks) or (self.settled[-1] if self.settled else "")


def told(
    strategy: Any, engine: Any = None, task: Task = QUESTION, seed: int = 0, **how: Any
) -> tuple[Told, Ranking[Artifact]]:
    heard = Told()
    flow = strategy(task, Seed(seed))
    run = asyncio.run(run_async(flow, engine or FakeEngine(), listen=heard, **how))
    assert run.idle
    return heard, run.value


def streamed(spec: str) -> Assembled:
    found = streaming(read(spec))
    assert found is not None, spec
    return found


@pytest.mark.parametrize("spec", ENDING_IN_ONE + SETTLING)
@pytest.mark.parametrize("seed", range(3))
def test_what_is_told_is_the_answer(spec: str, seed: int) -> None:
    heard, ranking = told(streamed(spec), seed=seed)
    whole = ranking.best.state.text
    if spec in SETTLING:
        assert whole.startswith(heard.text)
    elif "below=0.0" in spec:  # the cheap one stands, and it is not read while it writes
        assert heard.text == ""
    else:
        assert heard.text == whole != ""


@pytest.mark.parametrize("spec", BUFFERED)
def test_other_strategies_must_be_waited_for(spec: str) -> None:
    assert streaming(read(spec)) is None


@pytest.mark.parametrize(
    "spec", [s for s in ENDING_IN_ONE if "cascade" not in s and "esc" not in s]
)
def test_the_answer_is_the_same_as_without_a_stream(spec: str) -> None:
    assert told(streamed(spec))[1] == told(read(spec))[1]


def test_nothing_is_told_without_being_asked_for() -> None:
    for spec in (*ENDING_IN_ONE, *SETTLING):
        assert told(read(spec))[0].text == ""


def test_a_beam_settles_before_it_ends() -> None:
    found = [told(streamed(SETTLING[0]), seed=seed) for seed in range(6)]
    assert any(
        0 < len(heard.settled[0]) < len(heard.text) < len(ranking.best.state.text)
        for heard, ranking in found
        if heard.settled
    )


@pytest.mark.parametrize("spec", ENDING_IN_ONE + SETTLING)
@pytest.mark.parametrize("unit", ["tokens_out", "calls"])
def test_whatever_the_budget_cuts_what_was_told_stands(spec: str, unit: str) -> None:
    strategy = streamed(spec)
    for amount in (1, 2, 3, 4, 5, 7, 20, 60, 120, 200):
        heard, ranking = told(strategy, budget=Budget(**{unit: amount}))
        if heard.text:
            assert ranking.best.state.text.startswith(heard.text), (amount, ranking.note)


@pytest.mark.parametrize("spec", ENDING_IN_ONE + SETTLING)
def test_whatever_fails_what_was_told_stands_or_nothing_was(spec: str) -> None:
    """A request that fails as a whole has shown nothing."""
    strategy = streamed(spec)
    for at in range(12):
        heard, ranking = told(strategy, FakeEngine(fail_at=at))
        if heard.text and ranking.items:
            assert ranking.best.state.text.startswith(heard.text), (at, ranking.note)
        assert not (heard.text and not ranking.items)


@pytest.mark.parametrize("texts", ["malformed", "empty", "truncated", "mixed"])
@pytest.mark.parametrize("spec", ENDING_IN_ONE + SETTLING)
def test_whatever_is_said_what_was_told_stands(spec: str, texts: Any) -> None:
    for seed in range(3):
        heard, ranking = told(streamed(spec), FakeEngine(texts=texts), seed=seed)
        if heard.text:
            assert ranking.best.state.text.startswith(heard.text), (seed, ranking.note)


@pytest.mark.parametrize("spec", ["greedy()", f"greedy(process={STEPS})", "fusion(n=2)"])
def test_a_stop_string_of_the_callers_is_never_told(spec: str) -> None:
    task = Task(QUESTION.messages, manner=Manner(stop=("answer",)))
    heard, ranking = told(streamed(spec), task=task)
    assert heard.text == ranking.best.state.text
    assert "answer" not in heard.text
    assert ranking.best.state.completions[-1].stopped_by == "answer"


def test_words_leave_before_the_last_one_is_written() -> None:
    """The text of the last generation comes in pieces, none of them before its drafts are done."""
    heard, _ = told(streamed("fusion(n=3)"))
    kinds = [
        "chunk" if isinstance(e, Chunk) and e.final else "answered"
        for e in heard.events
        if (isinstance(e, Chunk) and e.final)
        or (
            isinstance(e, Answered)
            and isinstance(e.request, Generate)
            and e.request.role != "judge"
        )
    ]
    assert kinds[:3] == ["answered"] * 3
    assert kinds.count("chunk") > 3
    assert kinds[-1] == "answered"


def test_a_last_level_that_was_read_stands() -> None:
    """It states no answer, where the cheap one does: without a stream the cheap one would stand."""
    engine = lambda: Scripted(["#### 7", "I cannot say."])  # noqa: E731
    spec = "cascade(greedy(), greedy(), below=9.0)"
    heard, ranking = told(streamed(spec), engine())
    assert heard.text == ranking.best.state.text == "I cannot say."
    assert told(read(spec), engine())[1].best.state.text == "#### 7"


def test_what_was_read_stands_even_where_it_is_cut() -> None:
    task = Task.of("Think.")
    lines = ["a draft", "One.\n\n", "Two.\n\n", Failed("gone", "crashed")]
    strategy = streaming(Solve(Reasoning(), _Alike(), Fusion(BestOf(1))))
    heard, ranking = told(strategy, Scripted(lines), task)
    assert heard.text == ranking.best.state.text == "One.\n\nTwo.\n\n"
    assert not ranking.best.state.complete
    assert ranking.items[1].state.text == "a draft"


class _Alike:
    async def __call__(self, task: Task, states: Any) -> Any:
        from cogitate.core.candidates import Score

        return [Score(1.0) for _ in states]


def test_a_streamed_strategy_prints_plans_and_replays_as_itself() -> None:
    strategy = streamed("fusion(n=2)")
    assert isinstance(strategy, Streamed)
    assert str(strategy) == repr(strategy) == "fusion(n=2)"
    planned = plan("How many?", model="fake", strategy=strategy, configuration=Configuration())
    assert isinstance(planned.strategy, Streamed), "what was left open is filled in, the mark stays"
    judged = strategy.with_argument("scorer", read("majority()", "scorer"))
    assert str(judged) == "fusion(n=2, scorer=majority())"
    assert told(judged)[0].text
    tape = Tape()
    heard, ranking = told(strategy, journal=tape)
    assert replay(strategy(QUESTION, Seed(0)), Tape(tape.records)).value == ranking
    assert heard.text == ranking.best.state.text


def test_a_final_scorer_would_put_a_draft_first_so_it_is_waited_for() -> None:
    scorer = _Alike()
    assert streaming(Solve(Answer(), scorer, Fusion(), scorer)) is None
    assert streaming(Solve(Answer(), scorer, Fusion())) is not None
    assert streaming(Solve(Answer(), scorer, BestOf(1), scorer)) is not None
    assert streaming(Solve(Reasoning(), scorer, BeamSearch(width=1), scorer)) is not None
    assert streaming(object()) is None
