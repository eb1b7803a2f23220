"""What an engine cannot do it refuses by name, before anything is spent."""

from __future__ import annotations

import asyncio
import json

import pytest

from cogitate.core.needs import EVERYTHING, NEEDS, lacking, needs
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Completion, Generate, Reply, Sampling
from cogitate.core.task import Attachment, Message, ToolCall
from cogitate.engines.functions import FunctionModel
from cogitate.lab import RecordedModel, open_pool
from cogitate.rules.tool_calls import read_calls
from cogitate.testing import FakeEngine, Scripted, Simulated, simulated_tasks

ASKED = Prompt.chat(Message("user", "Find an oak."))
FIND = {
    "type": "function",
    "function": {
        "name": "find",
        "parameters": {
            "type": "object",
            "properties": {"what": {"type": "string"}, "most": {"type": "integer", "minimum": 1}},
            "required": ["what"],
        },
    },
}
LOOK = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
TOOLS = (json.dumps(FIND), json.dumps(LOOK))
SEEN = Message("user", "See.", (Attachment("image/png", url="data:image/png;base64,AA=="),))
CALLED = Message("assistant", "", calls=(ToolCall("1", "find", "{}"),))

NEEDING = {
    "tools": [
        Generate(ASKED, 1, tools=TOOLS),
        Generate(ASKED.turn(CALLED), 1),
        Generate(ASKED.turn(Message("tool", "none", call_id="1")).then("So"), 1),
    ],
    "attachments": [Generate(Prompt.chat(SEEN), 1)],
    "names": [Generate(Prompt.chat(Message("user", "Hi.", name="ann")), 1)],
    "penalties": [
        Generate(ASKED, 1, sampling=Sampling(presence_penalty=0.5)),
        Generate(ASKED, 1, sampling=Sampling(frequency_penalty=-0.5)),
    ],
}


def answer(engine, request):
    return asyncio.run(engine.serve([request]))[0]


def test_every_need_is_known_and_named() -> None:
    assert set(NEEDING) == set(NEEDS)
    for need, requests in NEEDING.items():
        for request in requests:
            assert needs(request) == [need]
            assert lacking(request) != ""
            assert lacking(request, EVERYTHING) == lacking(request, [need]) == ""
    assert lacking(Generate(ASKED.then("So").turn(Message("user", "And?")), 1)) == ""


ENGINES = {
    "simulated": lambda: Simulated(),
    "function": lambda: FunctionModel(lambda prompt: "4"),
    "recorded": lambda: RecordedModel(open_pool("smollm2-wordproblems")),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("need", NEEDING)
def test_an_engine_without_it_refuses_by_name(engine, need) -> None:
    for request in NEEDING[need]:
        said = answer(_with_a_question(engine), request)
        assert said.kind in ("unsupported", "unserved"), said
        if engine != "simulated":  # which knows its own questions only
            assert said.kind == "unsupported"
            assert {"tools": "tools", "attachments": "images", "names": "name"}.get(
                need, "penalty"
            ) in str(said)


def _with_a_question(engine):
    return ENGINES[engine]()


def test_a_simulated_world_refuses_on_its_own_question() -> None:
    task = simulated_tasks(1)[0][0]
    asked = Generate(Prompt.chat(*task.messages), 1, tools=TOOLS)
    assert answer(Simulated(), asked).kind == "unsupported"


def test_the_fake_refuses_images_and_penalties_and_serves_the_rest() -> None:
    for need, requests in NEEDING.items():
        for request in requests:
            said = answer(FakeEngine(), request)
            if need in ("attachments", "penalties"):
                assert said.kind == "unsupported", need
            else:
                assert isinstance(said, Reply), need


def calls_of(request: Generate, **settings) -> list[Completion]:
    from dataclasses import replace

    engine = FakeEngine(**settings)
    return [engine.write(replace(request, seed=seed)) for seed in range(40)]


def test_the_fake_calls_tools_with_arguments_of_their_schemas() -> None:
    found = calls_of(Generate(ASKED, 1, tools=TOOLS, tool_choice="required"))
    assert all(len(said.calls) == 1 and said.text == "" for said in found)
    assert {said.calls[0].name for said in found} == {"find", "look"}
    for said in found:
        arguments = json.loads(said.calls[0].arguments)
        known = {"find": {"what", "most"}, "look": set()}[said.calls[0].name]
        assert set(arguments) == known
        if known:
            assert isinstance(arguments["what"], str)
            assert arguments["most"] >= 1
        assert said.tokens > 0
    spelt = [read_calls(json.dumps([call.said for call in said.calls])) for said in found]
    most = max(spelt.count(one) for one in spelt)
    assert 10 < most < 40, "votes must have something to decide"
    assert len({said.calls[0].id for said in found}) == 40
    assert calls_of(Generate(ASKED, 1, tools=TOOLS, tool_choice="required")) == found


def test_the_fake_keeps_to_the_choice() -> None:
    free = calls_of(Generate(ASKED, 1, tools=TOOLS))
    assert 0 < sum(bool(said.calls) for said in free) < 40
    assert not any(s.calls for s in calls_of(Generate(ASKED, 1, tools=TOOLS, tool_choice="none")))
    named = json.dumps({"type": "function", "function": {"name": "look"}})
    looked = calls_of(Generate(ASKED, 1, tools=TOOLS, tool_choice=named))
    assert {said.calls[0].name for said in looked} == {"look"}
    after = ASKED.turn(CALLED).turn(Message("tool", "an oak", call_id="1"))
    assert not any(said.calls for said in calls_of(Generate(after, 1, tools=TOOLS)))
    both = calls_of(Generate(ASKED, 1, tools=TOOLS, tool_choice="required", parallel_calls=True))
    assert {len(said.calls) for said in both} == {2}
    wrong = json.dumps({"type": "function", "function": {"name": "fly"}})
    assert (
        answer(FakeEngine(), Generate(ASKED, 1, tools=TOOLS, tool_choice=wrong)).kind == "refused"
    )


@pytest.mark.parametrize("cap", range(1, 12))
def test_the_cap_cuts_the_arguments_of_the_fake(cap) -> None:
    whole = FakeEngine().write(Generate(ASKED, 3, tools=(TOOLS[0],), tool_choice="required"))
    cut = FakeEngine().write(
        Generate(ASKED, 3, tools=(TOOLS[0],), tool_choice="required", max_tokens=cap)
    )
    assert cut.tokens == min(cap, whole.tokens)
    assert whole.calls[0].arguments.startswith(cut.calls[0].arguments)
    assert (cut.finish == "limit") == (cap < whole.tokens)


def test_a_script_is_said_whatever_is_asked() -> None:
    called = Completion("", calls=(ToolCall("1", "find", "{}"),))
    for requests in NEEDING.values():
        said = answer(Scripted(["Yes."]), requests[0])
        assert said.value.text == "Yes."
        assert answer(Scripted([called]), requests[0]).value == called


def test_words_stand_beside_log_probabilities() -> None:
    said = FakeEngine().write(Generate(ASKED, 1, logprobs=0, stop=("Step",)))
    assert "".join(said.words) == said.text
    assert len(said.words) == len(said.logprobs) == said.tokens
    assert FakeEngine().write(Generate(ASKED, 1)).words == ()
