"""How the caller wants it said: every field is honoured, or refused by its name."""

from __future__ import annotations

import dataclasses
import json

import pytest
from test_processes import drive, run_through

from cogitate.core.candidates import Critique
from cogitate.core.codec import encode
from cogitate.core.errors import InvalidInput
from cogitate.core.requests import ANY_JSON, Completion, Generate, JsonSchema
from cogitate.core.seeds import Seed
from cogitate.core.task import Manner, Message, Task, ToolCall
from cogitate.processes import Answer, Boundaries, Reasoning, restore
from cogitate.testing import Scripted

FIND = json.dumps({"type": "function", "function": {"name": "find", "parameters": {}}})
LINES = Reasoning(boundaries=Boundaries(separators=("\n",)))
BOTH = pytest.mark.parametrize("process", [Answer(), LINES], ids=lambda p: type(p).__name__)


def asked(task: Task, process: Answer | Reasoning, *lines: object) -> tuple[Scripted, object]:
    """What the engine was asked, and the last state."""
    engine = Scripted(list(lines))
    return engine, run_through(process, task, engine)[-1]


def in_manner(kind: str = "text", **settings: object) -> Task:
    return Task.of("Find an oak.", kind=kind, manner=Manner(**settings))


@BOTH
@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        ({"temperature": 0.0}, "temperature", 0.0),
        ({"temperature": 1.5}, "temperature", 1.5),
        ({"top_p": 0.0}, "top_p", 0.0),
        ({"max_tokens": 7}, "max_tokens", 7),
        ({"stop": ("END",)}, "withheld", ("END",)),
        ({"logprobs": 3}, "logprobs", 3),
        ({"tools": (FIND,)}, "tools", (FIND,)),
        ({"tools": (FIND,), "tool_choice": "required"}, "tool_choice", "required"),
        ({"tools": (FIND,), "parallel_calls": False}, "parallel_calls", False),
        ({"constrained": True}, "constraint", JsonSchema(ANY_JSON)),
    ],
)
def test_a_field_reaches_the_request(process, settings, field, value) -> None:
    engine, _ = asked(in_manner(**settings), process, "An oak.")
    request = engine.requests[0]
    assert isinstance(request, Generate)
    found = getattr(request, field, None)
    assert (getattr(request.sampling, field) if found is None else found) == value


def test_every_field_of_a_manner_is_in_the_tests() -> None:
    tried = {"temperature", "top_p", "max_tokens", "stop", "logprobs", "tools", "tool_choice"}
    tried |= {"parallel_calls", "constrained", "bare", "presence_penalty", "frequency_penalty"}
    assert {field.name for field in dataclasses.fields(Manner)} == tried


@BOTH
def test_without_a_manner_the_request_is_as_it_was(process) -> None:
    plain, _ = asked(Task.of("Find an oak."), process, "An oak.")
    said, _ = asked(in_manner(), process, "An oak.")
    assert plain.requests[0].key() == said.requests[0].key()


def test_penalties_reach_the_request_of_an_answer_and_are_refused_by_name_in_steps() -> None:
    task = in_manner(presence_penalty=0.5, frequency_penalty=-0.25)
    engine, _ = asked(task, Answer(), "An oak.")
    sampling = engine.requests[0].sampling
    assert (sampling.presence_penalty, sampling.frequency_penalty) == (0.5, -0.25)
    with pytest.raises(InvalidInput, match=r"presence_penalty=0\.5"):
        drive(LINES.start(task, Seed(0)), Scripted([]))
    with pytest.raises(InvalidInput, match="frequency_penalty=1"):
        drive(LINES.start(in_manner(frequency_penalty=1), Seed(0)), Scripted([]))


@BOTH
@pytest.mark.parametrize("settings", [{"bare": True}, {"tools": (FIND,)}])
def test_nothing_is_added_to_bare_messages(process, settings) -> None:
    messages = (
        Message("system", "Be brief."),
        Message("user", "Find an oak.", name="ann"),
        Message("assistant", "", calls=(ToolCall("1", "find", "{}"),)),
        Message("tool", "none", call_id="1"),
        Message("assistant", "There is none."),
    )
    task = Task(messages, manner=Manner(**settings))
    process = dataclasses.replace(process, examples=(("1 + 1?", "2"),), instruction="Think.")
    engine, _ = asked(task, process, "Sorry.")
    assert engine.requests[0].prompt.messages == messages
    assert engine.requests[0].prompt.prefill == ""
    with pytest.raises(InvalidInput, match="context"):
        drive(process.start(dataclasses.replace(task, context="Trees."), Seed(0)), Scripted([]))


@BOTH
def test_the_callers_stop_string_is_no_part_of_the_answer(process) -> None:
    engine, state = asked(in_manner(stop=("END", "STOP")), process, "An oak.END and more")
    shown = drive(process.render(state), engine)
    assert (shown.text, shown.answer, shown.complete) == ("An oak.", "An oak.", True)
    assert shown.completions[-1].stopped_by == "END"
    assert set(engine.requests[0].withheld) <= set(engine.requests[0].stop)


def test_a_separator_goes_on_where_the_callers_stop_string_ends() -> None:
    engine, state = asked(in_manner(stop=("END",)), LINES, "One.\n", "Two.\n", "Three.END")
    assert (len(engine.requests), state.ending) == (3, "stop")
    assert drive(LINES.render(state), engine).text == "One.\nTwo.\nThree."
    assert all(request.stop == ("\n", "END") for request in engine.requests)
    # A string that is both is the caller's.
    engine, state = asked(in_manner(stop=("\n",)), LINES, "One.\n", "Two.\n")
    assert (len(engine.requests), state.ending, state.text) == (1, "stop", "One.")


def test_the_callers_cap_is_of_the_whole_chain() -> None:
    lines = [Completion(f"Step {i}.\n", "stop", "\n", tokens=4) for i in range(9)]
    engine, state = asked(in_manner(max_tokens=10), LINES, *lines)
    assert [request.max_tokens for request in engine.requests] == [10, 6, 2]
    assert state.ending == "limit"
    assert drive(LINES.render(state), engine).complete is False
    engine, state = asked(in_manner(max_tokens=8), LINES, *lines)
    assert (len(engine.requests), state.ending) == (2, "limit")


CALLED = Completion("", calls=(ToolCall("c9", "find", '{"b": 1.0, "a": "oak"}'),))


@BOTH
def test_calls_are_the_answer(process) -> None:
    engine, state = asked(in_manner(tools=(FIND,)), process, CALLED)
    assert process.done(state)
    shown = drive(process.render(state), engine)
    assert shown.calls == CALLED.calls
    assert (shown.text, shown.kind) == ("", "json")
    assert shown.answer == '[{"arguments":{"a":"oak","b":1},"name":"find"}]'
    assert shown.said == '[{"name": "find", "arguments": "{\\"b\\": 1.0, \\"a\\": \\"oak\\"}"}]'


@BOTH
@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", '{"a": 1, "a": 2}', "[" * 5000])
def test_malformed_calls_abstain(process, arguments) -> None:
    called = Completion("", calls=(ToolCall("1", "find", arguments),))
    engine, state = asked(in_manner(tools=(FIND,)), process, called)
    shown = drive(process.render(state), engine)
    assert (shown.answer, shown.calls[0].arguments) == (None, arguments)


@BOTH
def test_calls_that_were_cut_are_no_answer(process) -> None:
    engine, state = asked(
        in_manner(tools=(FIND,)), process, dataclasses.replace(CALLED, finish="limit")
    )
    shown = drive(process.render(state), engine)
    assert (shown.answer, shown.complete) == (None, False)


@pytest.mark.parametrize("settings", [{"tools": (FIND,)}, {"constrained": True}])
def test_a_chain_with_tools_or_constrained_is_one_step(settings) -> None:
    engine, state = asked(in_manner(**settings), LINES, '{"a":\n1}\n')
    assert (len(engine.requests), state.ending, state.text) == (1, "eos", '{"a":\n1}\n')
    assert engine.requests[0].stop == ()
    assert engine.requests[0].max_tokens == 1024
    engine, _ = asked(in_manner(max_tokens=2000, **settings), LINES, "{}")
    assert engine.requests[0].max_tokens == 2000


@BOTH
def test_the_schema_of_the_task_is_enforced(process) -> None:
    schema = '{"type":"object","properties":{"a":{}}}'
    task = Task.of("?", kind="json", schema=schema, manner=Manner(constrained=True))
    engine, _ = asked(task, process, "{}")
    assert engine.requests[0].constraint == JsonSchema(schema)


@BOTH
def test_what_revises_or_combines_speaks_in_the_same_manner(process) -> None:
    task = in_manner(tools=(FIND,), temperature=0.25, stop=("END",))
    engine = Scripted([CALLED, "Two.END", "Three.END"])
    state = run_through(process, task, engine)[-1]
    second = drive(process.revise(state, Critique("No."), Seed(1)), engine)
    third = drive(process.mutate([state, second], Seed(2)), engine)
    assert (second.text, third.text) == ("Two.", "Three.")
    for request in engine.requests:
        assert (request.tools, request.withheld) == ((FIND,), ("END",))
        assert request.sampling.temperature == 0.25
    for request in engine.requests[1:]:  # a call that nobody answered must not stay a call
        assert not any(message.calls for message in request.prompt.messages)
        assert any("oak" in message.content for message in request.prompt.messages[1:])


@BOTH
def test_a_state_with_a_manner_comes_back(process) -> None:
    task = in_manner(tools=(FIND,), stop=("END",), constrained=True)
    _, state = asked(task, process, CALLED)
    prompts = {node.digest: node for node in state.prompt.chain()}
    assert restore(type(state), json.loads(json.dumps(encode(state))), prompts) == state


def test_a_process_that_honours_nothing_says_so() -> None:
    from cogitate.processes import Tool, ToolUse

    talk = ToolUse((Tool("look"),))
    with pytest.raises(InvalidInput, match="temperature, stop"):
        drive(talk.start(in_manner(temperature=0.1, stop=("x",)), Seed(0)), Scripted([]))
    drive(talk.start(in_manner(), Seed(0)), Scripted([]))
