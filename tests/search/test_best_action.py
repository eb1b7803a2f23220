from __future__ import annotations

import json
from dataclasses import replace

import pytest
from search_toys import ByTable

from cogitate.core.codec import encode
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.events import Noted
from cogitate.core.requests import Call, Generate
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.drive import run
from cogitate.processes import Answer, Tool, ToolUse
from cogitate.scorers import ToolCallVote
from cogitate.search import BestAction, BestOf, Solve
from cogitate.testing import Scripted

TASK = Task.of("How much is one plum and two pears?", kind="number")
TOOLS = (Tool("price", ("fruit",), "says what a fruit costs"), Tool("stop", ()))
PRICES = {"plum": 3, "pear": 5}
ASK = [json.dumps({"name": "price", "arguments": {"fruit": fruit}}) for fruit in PRICES]


def policy(request: Generate) -> str:
    """Asks for what it does not know yet; every second proposal is nonsense."""
    told = " ".join(m.content for m in request.prompt.messages)
    if request.seed % 3 == 0:
        return '{"name": "steal", "arguments": {}}'
    if "price gave:\n3" not in told:
        return ASK[0]
    return ASK[1] if "price gave:\n5" not in told else "3 + 2 * 5 = 13\n#### 13"


def engine(calls: list[tuple[str, object]], write=policy, price=None) -> Scripted:
    def tool(request: Call) -> object:
        calls.append((request.name, request.args))
        return (price or (lambda fruit: PRICES[fruit]))(request.args[0])

    return Scripted({"policy": write, "code": tool})


def solved(search=BestAction(k=6, turns=5), scorer=None, write=policy, price=None, **options):  # noqa: B008
    calls: list[tuple[str, object]] = []
    strategy = Solve(ToolUse(TOOLS), scorer or ToolCallVote(), search)
    done = run(strategy(TASK, Seed(0)), engine(calls, write, price), **options)
    return done, calls


def test_one_move_a_turn_is_made_and_no_other_touches_the_world():
    done, calls = solved()
    assert calls == [("price", ("plum",)), ("price", ("pear",))]
    assert done.value.best.state.answer == "13"
    assert done.value.note == "3 moves were made"
    assert done.roles["policy"].calls == 18


def test_the_scorer_chooses_the_move():
    def write(request: Generate) -> str:
        return ASK[request.seed % 2] if len(request.prompt.messages) < 4 else "#### 1"

    for fruit in PRICES:
        likes = ByTable(lambda text, fruit=fruit: float(fruit in text))
        _, calls = solved(scorer=likes, write=write)
        assert calls[0] == ("price", (fruit,))


def test_malformed_moves_are_lost_and_never_made():
    def write(request: Generate) -> str:
        return '{"name": "price", "arguments": {"fruits": "plum"}}'

    done, calls = solved(write=write)
    assert calls == []
    assert done.value.stopped == "failed"
    assert done.value.best.state.answer is None


def test_a_tool_that_fails_is_told_to_the_model():
    told: list[str] = []

    def write(request: Generate) -> str:
        told.append(request.prompt.messages[-1].content)
        return ASK[0] if len(request.prompt.messages) < 4 else "#### 0"

    def broken(fruit: object) -> object:
        raise Failed("the shop is closed", "call")

    done, calls = solved(BestAction(k=1, turns=4), write=write, price=broken)
    assert len(calls) == 1
    assert "price could not be used: the shop is closed" in told[-1]
    assert done.value.best.state.answer == "0"


def test_turns_end_an_endless_talk():
    done, calls = solved(BestAction(k=2, turns=3), write=lambda request: ASK[0])
    assert len(calls) == 3
    assert done.value.best.state.answer is None
    assert not done.value.best.state.complete


@pytest.mark.parametrize("calls", range(0, 20, 2))
def test_a_budget_never_leaves_a_move_half_made(calls):
    done, made = solved(budget=Budget(calls=calls))
    assert done.usage.calls <= calls
    assert done.idle
    assert len(made) == len(set(made))  # nothing twice
    notes = done.value.note
    assert notes.startswith(f"{len(made) + (done.value.best.state.answer is not None)} moves")


def test_one_proposal_asks_no_scorer():
    class Loud:
        async def __call__(self, task, states):
            raise AssertionError("the scorer was asked")

    done, _ = solved(BestAction(k=1, turns=6), scorer=Loud(), write=lambda r: policy(replace(r, seed=1)))  # fmt: skip
    assert done.value.best.state.answer == "13"


def test_a_turn_by_turn_sample_is_best_action_of_one():
    write = lambda r: policy(replace(r, seed=1))  # noqa: E731
    alone, first = solved(BestOf(1), write=write)
    one, second = solved(BestAction(k=1, turns=8), write=write)
    assert first == second
    assert alone.value.best.state == one.value.best.state
    assert alone.usage == one.usage


def test_moves_are_told_as_a_tree():
    notes = []
    solved(listen=lambda e: notes.append((e.kind, e.data)) if isinstance(e, Noted) else None)
    grown = [data for kind, data in notes if kind == "expanded"]
    ids = {data["id"] for data in grown}
    assert [data["depth"] for data in grown] == [0, 1, 2, 3]
    assert all(data["parent"] is None or data["parent"] in ids for data in grown)


def test_a_process_that_cannot_wait_is_refused():
    with pytest.raises(InvalidInput, match="Answer cannot propose moves"):
        run(Solve(Answer(), ToolCallVote(), BestAction())(TASK, Seed(0)), Scripted({}))


def test_senseless_tools_are_refused():
    for wrong in ((), (Tool("a"), Tool("a"))):
        with pytest.raises(InvalidInput, match="at least one, and none twice"):
            ToolUse(wrong)
    with pytest.raises(InvalidInput, match="identifier"):
        Tool("rm -rf")
    with pytest.raises(InvalidInput, match="occurs twice"):
        Tool("a", ("x", "x"))


def test_a_long_result_is_cut_and_a_cut_call_is_none():
    seen: list[str] = []

    def write(request: Generate) -> str:
        seen.append(request.prompt.messages[-1].content)
        return ASK[0] if len(request.prompt.messages) < 4 else "#### 1"

    solved(BestAction(k=1), write=write, price=lambda fruit: "x" * 100_000)
    assert len(seen[-1]) < 5_000
    short = replace(ToolUse(TOOLS), max_tokens=2)
    done = run(
        Solve(short, ToolCallVote(), BestAction(k=2))(TASK, Seed(0)),
        engine([], lambda request: ASK[0][: request.max_tokens * 4]),
    )
    assert done.value.stopped == "failed"


def test_states_are_values():
    calls: list[tuple[str, object]] = []
    process = ToolUse(TOOLS)

    async def first():
        state = await process.start(TASK, Seed(0))
        return await process.step(state, Seed(1))

    state = run(first(), engine(calls, lambda r: ASK[0])).value
    assert json.loads(json.dumps(encode(state)))["turn"] == 1
    assert state.prompt.messages[-1].content == "price gave:\n3"
