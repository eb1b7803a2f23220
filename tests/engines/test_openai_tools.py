"""Tools, names, images and penalties over OpenAI's protocol: what is sent, and what comes back."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from importlib.util import find_spec

import pytest
from aiohttp import web
from loopback import answering

from cogitate.core.prompt import Prompt
from cogitate.core.requests import ANY_JSON, Generate, JsonSchema, Reply, Sampling
from cogitate.core.task import Attachment, Message, ToolCall
from cogitate.engines.openai import OpenAICompatible, assumed, chatml

CHAT = "/v1/chat/completions"
FIND = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
NAMED = {"type": "function", "function": {"name": "find"}}
ASKED = Prompt.chat(Message("user", "Find an oak.", name="ann"))
TOOLS = Generate(ASKED, seed=5, max_tokens=9, tools=(json.dumps(FIND),))
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def called(id="c1", name="find", arguments='{"q": "oak"}', **more):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}} | more


def said(*calls, text=None, finish="tool_calls", **more):
    message = {"role": "assistant", "content": text, "tool_calls": list(calls)}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE} | {
        "choices": [choice | more]
    }


def streamed(*deltas, finish="tool_calls", end=True):
    """A function of the body, as a response can be sent once."""

    def answer(body):
        chunks = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
        if end:
            chunks.append({"index": 0, "delta": {}, "finish_reason": finish})
        rows = [{"id": "x", "model": "m", "created": 1, "choices": [chunk]} for chunk in chunks]
        rows.append({"id": "x", "model": "m", "created": 1, "choices": [], "usage": USAGE})
        text = "".join(f"data: {json.dumps(row)}\n\n" for row in rows) + "data: [DONE]\n\n"
        return web.Response(text=text, content_type="text/event-stream")

    return answer


def piece(place, **said):
    """A delta of one call."""
    function = {name: said.pop(name) for name in ("name", "arguments") if name in said}
    return {"tool_calls": [{"index": place, "function": function} | said]}


def ask(answer, *requests, litellm=False, emitted=None, **engine):
    """The outcomes of one batch, and the server."""

    async def main():
        async with answering({CHAT: answer}) as server:
            if litellm:
                from cogitate.engines.litellm import LiteLLM

                options = {"api_base": f"{server.url}/v1", "api_key": "x"}
                made = LiteLLM("openai/gpt-4o-mini", options=options)
            else:
                made = OpenAICompatible(f"{server.url}/v1", "m", **engine)
            told = (lambda i, t: emitted.append(t)) if emitted is not None else (lambda i, t: None)
            try:
                return list(await made.serve(requests, told)), server
            finally:
                await made.close()

    return asyncio.run(main())


def body_of(server):
    return server.bodies(CHAT)[0]


BOTH = pytest.mark.parametrize(
    "litellm",
    [
        False,
        pytest.param(
            True, marks=pytest.mark.skipif(find_spec("litellm") is None, reason="needs litellm")
        ),
    ],
)


@pytest.fixture(autouse=True)
def _its_own_warnings(recwarn):
    return recwarn  # LiteLLM drops things that are not ours to fix


@BOTH
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_a_call_comes_back_word_for_word(litellm):
    (reply,), server = ask(said(called(arguments='{"q":  "oak"')), TOOLS, litellm=litellm)
    assert isinstance(reply, Reply)
    assert reply.value.calls == (ToolCall("c1", "find", '{"q":  "oak"'),)
    assert (reply.value.text, reply.value.finish, reply.value.tokens) == ("", "eos", 3)
    assert (reply.usage.tokens_in, reply.usage.tokens_out) == (7, 3)
    body = body_of(server)
    assert body["tools"] == [FIND]
    assert "tool_choice" not in body
    assert "parallel_tool_calls" not in body
    assert body["messages"][0]["name"] == "ann"


@BOTH
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize(
    ("settings", "field", "value"),
    [
        ({"tool_choice": "required"}, "tool_choice", "required"),
        ({"tool_choice": json.dumps(NAMED)}, "tool_choice", NAMED),
        ({"parallel_calls": False}, "parallel_tool_calls", False),
        ({"sampling": Sampling(presence_penalty=0.5)}, "presence_penalty", 0.5),
        ({"sampling": Sampling(frequency_penalty=-1)}, "frequency_penalty", -1.0),
        ({"constraint": JsonSchema(ANY_JSON)}, "response_format", {"type": "json_object"}),
    ],
)
def test_every_setting_is_sent(litellm, settings, field, value):
    how = {} if litellm else {"dialect": "openai"}
    _, server = ask(said(called()), replace(TOOLS, **settings), litellm=litellm, **how)
    assert body_of(server)[field] == value


def test_what_is_not_asked_for_is_not_sent():
    _, server = ask(said(text="Hi.", finish="stop"), Generate(ASKED, seed=5))
    assert not {"tools", "presence_penalty", "frequency_penalty"} & set(body_of(server))


@BOTH
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_calls_are_put_together_from_a_stream(litellm):
    answer = streamed(
        {"role": "assistant", "content": "Let me "},
        {"content": "look."},
        piece(0, id="c1", type="function", name="find", arguments=""),
        piece(0, arguments='{"q": '),
        piece(1, id="c2", type="function", name="find", arguments='{"q"'),
        piece(0, arguments='"oak"}'),
        piece(1, arguments=': "elm"}'),
    )
    emitted = []
    asked = replace(TOOLS, final=True)
    (reply,), _ = ask(answer, asked, litellm=litellm, emitted=emitted)
    assert isinstance(reply, Reply), reply
    assert reply.value.calls == (
        ToolCall("c1", "find", '{"q": "oak"}'),
        ToolCall("c2", "find", '{"q": "elm"}'),
    )
    assert "".join(emitted) == reply.value.text == "Let me look."
    assert reply.usage.tokens_out == 3


def test_servers_that_number_every_call_0_or_say_no_id_are_understood():
    answer = streamed(
        piece(0, id="a", name="find", arguments="{}"), piece(0, id="b", name="find", arguments="{}")
    )
    (reply,), _ = ask(answer, replace(TOOLS, final=True))
    assert [call.id for call in reply.value.calls] == ["a", "b"]
    raw = {"function": {"name": "find", "arguments": {"q": "oak"}}}
    (reply,), _ = ask(said(raw, raw), TOOLS)
    assert [call.arguments for call in reply.value.calls] == ['{"q": "oak"}'] * 2
    assert len({call.id for call in reply.value.calls}) == 2
    assert all(call.id.startswith("call_") for call in reply.value.calls)


@pytest.mark.parametrize(
    "calls", ["no list", [None, 3, "x"], [{"function": None}], [{"function": {"name": 7}}]]
)
def test_what_is_no_call_breaks_nothing(calls):
    raw = said(text="Hi.", finish="stop")
    raw["choices"][0]["message"]["tool_calls"] = calls
    (reply,), _ = ask(raw, TOOLS)
    assert isinstance(reply, Reply)
    assert reply.value.text == "Hi."


def test_a_stream_that_breaks_off_in_a_call_failed():
    answer = streamed(piece(0, id="c", name="find", arguments='{"q"'), end=False)

    def broken(body):
        response = answer(body)
        response.text = response.text.replace("data: [DONE]\n\n", "")
        return response

    (failed,), _ = ask(broken, replace(TOOLS, final=True))
    assert (failed.kind, failed.transient) == ("cut", True)


def test_calls_at_the_cap_are_cut():
    (reply,), _ = ask(said(called(arguments='{"q"'), finish="length"), TOOLS)
    assert (reply.value.finish, reply.value.calls[0].arguments) == ("limit", '{"q"')


def test_a_constraint_does_not_bind_a_call():
    asked = replace(TOOLS, constraint=JsonSchema('{"type":"string"}'))
    (reply,), _ = ask(said(called()), asked, dialect="openai")
    assert isinstance(reply, Reply)


def test_a_conversation_is_sent_as_it_was():
    messages = (
        Message("system", "Be brief."),
        Message("user", "Find.", name="ann"),
        Message("assistant", "", calls=(ToolCall("c1", "find", '{"q":"oak"}'),)),
        Message("tool", "none", call_id="c1"),
        Message("assistant", "None.", calls=(ToolCall("c2", "find", "{}"),)),
        Message("tool", "an oak", call_id="c2"),
        Message("assistant", "There."),
    )
    asked = Generate(Prompt.chat(*messages), seed=5)
    _, server = ask(said(text="Yes.", finish="stop"), asked, dialect="vllm")
    assert body_of(server)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Find.", "name": "ann"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [called(arguments='{"q":"oak"}')],
        },
        {"role": "tool", "content": "none", "tool_call_id": "c1"},
        {"role": "assistant", "content": "None.", "tool_calls": [called("c2", arguments="{}")]},
        {"role": "tool", "content": "an oak", "tool_call_id": "c2"},
        {"role": "assistant", "content": "There."},
    ]


PNG, PDF, WAV = (
    f"data:{kind};base64,AAAA" for kind in ("image/png", "application/pdf", "audio/wav")
)


@BOTH
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_images_and_files_stand_where_they_stood(litellm):
    attached = (
        Attachment("audio/wav", url=WAV, place=12),
        Attachment("image/png", url=PNG, place=0),
        Attachment("image/jpeg", url="https://x.test/a.jpg", place=5, detail="low"),
        Attachment("application/pdf", url=PDF, place=5, name="a.pdf"),
    )
    asked = Generate(Prompt.chat(Message("user", "firstsecond", attached)), seed=5)
    how = {} if litellm else {"dialect": "vllm", "template": chatml}
    _, server = ask(said(text="Yes.", finish="stop"), asked, litellm=litellm, **how)
    parts = body_of(server)["messages"][0]["content"]
    kinds = ["image_url", "text", "image_url", "file", "text", "input_audio"]
    assert [part["type"] for part in parts] == kinds
    assert [part["text"] for part in parts if part["type"] == "text"] == ["first", "second"]
    assert parts[0]["image_url"]["url"] == PNG
    assert parts[2]["image_url"]["url"] == "https://x.test/a.jpg"
    assert parts[2]["image_url"]["detail"] == "low"
    assert (parts[3]["file"]["file_data"], parts[3]["file"]["filename"]) == (PDF, "a.pdf")
    assert parts[5]["input_audio"] == {"data": "AAAA", "format": "wav"}


@pytest.mark.parametrize("kind", ["application/pdf", "audio/wav", ""])
def test_files_by_address_are_refused_because_nobody_here_fetches_them(kind):
    held = Attachment(kind, url="https://x.test/a")
    (failed,), server = ask(said(), Generate(Prompt.chat(Message("user", "?", (held,))), seed=5))
    assert (failed.kind, server.seen) == ("unsupported", [])


@pytest.mark.parametrize(
    ("lacks", "request_", "names"),
    [
        ("tools", TOOLS, "tools"),
        ("tools", Generate(ASKED.turn(Message("tool", "x", call_id="1")), 1), "tools"),
        ("images", Generate(Prompt.chat(Message("user", "?", (Attachment("image/png", url=PNG),))), 1), "images"),
        ("penalties", Generate(ASKED, 1, sampling=Sampling(presence_penalty=1)), "penalties"),
    ],
)  # fmt: skip
def test_what_a_server_lacks_is_refused_by_name_and_not_sent(lacks, request_, names):
    for dialect in ("generic", "openai", "vllm", "sglang", "llamacpp", "ollama"):
        assert getattr(assumed(dialect), lacks), "what most servers do is assumed"
        without = replace(assumed(dialect), **{lacks: False})
        (failed,), server = ask(said(), request_, capabilities=without)
        assert (failed.kind, server.seen) == ("unsupported", [])
        assert names in str(failed)


def test_ollama_knows_no_choice_among_tools():
    (failed,), server = ask(said(), replace(TOOLS, tool_choice="required"), dialect="ollama")
    assert (failed.kind, server.seen) == ("unsupported", [])
    assert "tool_choice" in str(failed)
    (reply,), _ = ask(said(called()), TOOLS, dialect="ollama")
    assert reply.value.calls


@pytest.mark.parametrize(
    "settings", [{"tools": ("{",)}, {"tools": (), "tool_choice": "auto"}, {"tool_choice": "7"}]
)
def test_tools_that_cannot_be_read_are_refused(settings):
    (failed,), server = ask(said(), replace(TOOLS, **settings))
    assert (failed.kind, server.seen) == ("unsupported", [])


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llamacpp"])
def test_with_tools_a_prompt_goes_as_messages(dialect):
    """Also where the server takes ids or renders templates: a tool has no form there."""
    (reply,), server = ask(said(called()), TOOLS, dialect=dialect)
    assert isinstance(reply, Reply)
    assert [path for path, _, _ in server.seen] == [CHAT]
    (failed,), _ = ask(said(), replace(TOOLS, prompt=Prompt.raw("Find")), dialect=dialect)
    assert failed.kind == "unsupported"


def test_a_stop_string_of_llamacpp_is_found_where_its_chat_does_not_say_it():
    answer = streamed(
        {"content": "An o"}, {"content": "ak.EN"}, {"content": "D more"}, finish="stop"
    )
    asked = replace(TOOLS, stop=("END",))
    (reply,), server = ask(answer, asked, dialect="llamacpp")
    assert (reply.value.text, reply.value.stopped_by) == ("An oak.END", "END")
    assert "stop" not in body_of(server)


def test_the_ceiling_holds_tools_images_and_calls():
    engine = OpenAICompatible("http://localhost:1/v1", "m")
    plain = engine.ceiling(Generate(ASKED, 1)).tokens_in
    tools = engine.ceiling(Generate(ASKED, 1, tools=TOOLS.tools)).tokens_in
    assert tools - plain >= len(TOOLS.tools[0])
    seen = Prompt.chat(
        Message("user", "Find an oak.", (Attachment("image/png", url=PNG),), name="ann")
    )
    assert engine.ceiling(Generate(seen, 1)).tokens_in - plain >= 4096
    large = Attachment("application/pdf", url="data:application/pdf;base64," + "A" * 99_999)
    held = Prompt.chat(Message("user", "Find an oak.", (large,), name="ann"))
    assert engine.ceiling(Generate(held, 1)).tokens_in - plain >= 99_999


def test_words_stand_beside_their_log_probabilities():
    rows = [{"token": t, "logprob": -0.5, "top_logprobs": []} for t in ("An", " oak", "END")]
    answer = said(text="An oakEND", finish="stop", logprobs={"content": rows})
    (reply,), _ = ask(answer, Generate(ASKED, 1, logprobs=0), dialect="openai")
    assert reply.value.words == ("An", " oak", "END")
    assert len(reply.value.logprobs) == 3


@pytest.mark.parametrize(
    ("how", "finding"),
    [("yes", ""), ("ignored", "no call came back"), ("rejected", "tools were refused")],
)
def test_the_probe_tries_a_tool(how, finding):
    from scripted_server import serving

    async def main():
        async with serving(dialect="vllm", tools=how) as running:
            engine = OpenAICompatible(running.url, "toy", dialect="vllm")
            try:
                return await engine.probe()
            finally:
                await engine.close()

    found = asyncio.run(main())
    assert found.tools == (how == "yes")
    assert [text for text in found.findings if "tool" in text or "call" in text] == [
        text for text in found.findings if finding and finding in text
    ]
