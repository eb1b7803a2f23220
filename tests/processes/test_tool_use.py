from __future__ import annotations

import json

import pytest

from cogitate.core.errors import Failed
from cogitate.core.events import Asked
from cogitate.core.journal import Tape
from cogitate.core.requests import Call, Completion, Generate, JsonSchema
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.drive import replay, run
from cogitate.processes import Tool, ToolUse
from cogitate.scorers import Indifferent, ToolCallVote
from cogitate.search import BestAction, BestOf, Solve
from cogitate.testing import FakeEngine, Scripted

TOOLS = (Tool("price", ("fruit",), "says what a fruit costs"), Tool("stop"))


def called(fruit: str) -> str:
    return '{"name": "price", "arguments": {"fruit": %s}}' % fruit  # noqa: UP031  (braces)


def moved(text: str, kind: str = "number", constrained: bool = False) -> object:
    """What one turn of this text asks of the world: the call's arguments, its answer, or `Failed`."""
    process = ToolUse(TOOLS, constrained=constrained)
    world = Scripted({"policy": text, "code": lambda request: 3})

    async def turn():
        state = await process.start(Task.of("How much?", kind=kind), Seed(0))
        try:
            move = await process.propose(state, Seed(1))
        except Failed as error:
            return error.kind
        if move.tool:
            return move.tool, move.values
        after = await process.commit(state, move)
        assert process.done(after)
        return (await process.render(after)).answer

    found = run(turn(), world).value
    assert not any(isinstance(r, Call) for r in world.requests), "a proposal touched the world"
    return found


@pytest.mark.parametrize(
    ("text", "move"),
    [
        (called('"plum"'), ("price", ("plum",))),
        (f"```json\n{called('[1, {}]')}\n```", ("price", ((1, {}),))),
        (f"```\n{called('null')}\n```\n", ("price", (None,))),
        (f"I will ask the shop.\n{called('2.5')}", ("price", (2.5,))),
        ('{"name": "stop"}', ("stop", ())),
        ("It is 3.\n#### 3", "3"),
        ("The set {1, 2} has 2 members.\n#### 2", "2"),
        ('{"name": "steal", "arguments": {}}', "form"),
        ('I will take it. {"name": "steal", "arguments": {}}', "form"),
        ('{"name": "price", "arguments": {"fruits": "plum"}}', "form"),
        ('{"name": "price", "arguments": ["plum"]}', "form"),
        (called('"plum"') + " " + called('"pear"'), "form"),
        (called('"plum"')[:-1], "form"),
    ],
)
def test_a_turn_is_read_as_a_call_an_answer_or_nothing(text, move):
    assert moved(text) == move


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "1e999", "9" * 5000, *("[" * d + "]" * d for d in (40, 600, 9000))]
)  # fmt: skip
def test_hostile_arguments_are_no_call(value):
    # The cap of 512 tokens would cut the deepest; so the text is read whole.
    assert moved(called(value)) == "form"


def test_an_answer_of_kind_json_is_no_malformed_call():
    assert json.loads(str(moved('{"total": 3}', "json"))) == {"total": 3}
    assert json.loads(str(moved('{"name": "Ann", "arguments": {}}', "json"))) == {
        "name": "Ann",
        "arguments": {},
    }
    assert moved(called("1"), "json") == ("price", (1,))


def test_a_call_that_the_cap_ended_is_none_even_where_it_is_whole():
    text = called('"plum"')
    process = ToolUse(TOOLS)
    move = process.propose(run(process.start(Task.of("?"), Seed(0)), Scripted({})).value, Seed(1))
    with pytest.raises(Failed, match="no call of a known tool"):
        run(move, Scripted({"policy": lambda request: Completion(text, "limit")}))


def test_the_first_proposal_is_the_sample_itself():
    def asked(search):
        world = Scripted(
            {"policy": lambda r: called("1") if r.prompt.depth < 6 else "#### 1", "code": "3"}
        )
        strategy = Solve(ToolUse(TOOLS), Indifferent(), search)
        run(strategy(Task.of("How much?", kind="number"), Seed(3)), world)
        return [r.key() for r in world.requests]

    alone, one, three = (asked(s) for s in (BestOf(1), BestAction(k=1), BestAction(k=3)))
    assert alone == one
    assert set(alone) <= set(three)


def test_a_constrained_turn_asks_for_its_schema_and_is_unwrapped():
    asked = []
    process = ToolUse(TOOLS, constrained=True)
    strategy = Solve(process, Indifferent(), BestOf(1))
    world = Scripted({"policy": '{"answer": "#### 7"}'})
    done = run(
        strategy(Task.of("How much?", kind="number"), Seed(0)),
        world,
        listen=lambda e: asked.append(e.request) if isinstance(e, Asked) else None,
    )
    assert done.value.best.state.answer == "7"
    [request] = [r for r in asked if isinstance(r, Generate)]
    assert isinstance(request.constraint, JsonSchema)
    turns = json.loads(request.constraint.schema)["anyOf"]
    named = [t["properties"]["name"]["const"] for t in turns if "name" in t["properties"]]
    assert named == ["price", "stop"]
    assert turns[0]["properties"]["arguments"]["required"] == ["fruit"]


def test_a_constrained_turn_that_is_neither_is_lost():
    assert moved('{"reply": 3}', constrained=True) == "form"
    assert moved("#### 3", constrained=True) == "form"
    assert moved('{"answer": "3"}', constrained=True) == "3"
    told = str(moved('{"answer": {"total": 3}}', "json", constrained=True))
    assert json.loads(told) == {"total": 3}


def test_a_cut_answer_has_no_vote_while_it_is_considered():
    process = ToolUse(TOOLS, max_tokens=4)

    async def seen():
        state = await process.start(Task.of("How much?", kind="number"), Seed(0))
        move = await process.propose(state, Seed(1))
        return await process.preview(process.considered(state, move))

    artifact = run(seen(), Scripted({"policy": "#### 12345678901234567890 and more"})).value
    assert (artifact.complete, artifact.answer) == (False, None)


@pytest.mark.parametrize("calls", range(16))
def test_calls_are_made_and_replayed_under_every_cut(calls):
    """The fake obeys the schema, so that every turn is a call; the world is asked once a turn."""
    strategy = Solve(
        ToolUse(TOOLS, turns=3, constrained=True), ToolCallVote(), BestAction(k=3, turns=3)
    )
    task, tape = Task.of("How much?", kind="number"), Tape()
    done = run(
        strategy(task, Seed(0)),
        FakeEngine(),
        budget=Budget(calls=calls),
        journal=tape,
    )
    made = done.roles["code"].calls if "code" in done.roles else 0
    assert done.usage.calls <= calls
    assert done.idle
    assert done.value.note.startswith(f"{made} moves were made")
    assert made == min(3, calls // 4)
    again = replay(strategy(task, Seed(0)), Tape(tape.records))
    assert again.value == done.value
