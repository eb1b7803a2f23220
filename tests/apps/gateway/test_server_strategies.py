"""Requests that a strategy answers: the schema, what is honoured, what streams, and what ends them."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

from aiohttp import web  # noqa: E402
from gateway_harness import QUESTION, chunk, completion, events, eventually, serving  # noqa: E402

from cogitate.apps.gateway import app  # noqa: E402
from cogitate.apps.gateway.thinking import Hearing  # noqa: E402
from cogitate.assembly import load, replay  # noqa: E402
from cogitate.testing import FakeEngine  # noqa: E402

SUM = [{"role": "user", "content": "What is 17 + 25?"}]
VOTE = "best_of(n=4, scorer=majority())@toy"


@pytest.fixture
def toy(tmp_path):
    """Asks a gateway in memory."""

    def ask(model=VOTE, messages=SUM, headers=None, path="", settings="", **more):
        async def go():
            file = tmp_path / "toy.toml"
            file.write_text(f"[gateway]\n{settings}")
            gateway = app(load(file, environment={}), models={"toy": FakeEngine(answers=("42",))})
            transport = httpx.ASGITransport(gateway)
            async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
                body = {"model": model, "messages": messages, **more}
                reply = await client.post(f"{path}/v1/chat/completions", json=body, headers=headers)
            await gateway.close()
            return reply

        return asyncio.run(go())

    return ask


def refused(reply, param, status=400):
    assert reply.status_code == status, reply.text
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["param"] == param, error
    return error


def test_a_reply_has_every_field_of_the_schema(toy):
    reply = toy()
    value = reply.json()
    assert set(value) == {
        *("id", "object", "created", "model", "choices", "usage", "system_fingerprint"),
    }
    assert value["object"] == "chat.completion"
    assert value["model"] == VOTE
    assert abs(value["created"] - time.time()) < 60
    (choice,) = value["choices"]
    assert set(choice) == {"index", "message", "logprobs", "finish_reason"}
    assert choice["message"]["role"] == "assistant"
    assert choice["message"]["content"].endswith("#### 42")
    assert choice["finish_reason"] == "stop"
    usage = value["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > 0
    assert set(usage["prompt_tokens_details"]) == {"cached_tokens"}
    assert set(usage["completion_tokens_details"]) == {"reasoning_tokens"}
    assert reply.headers["x-cogitate-calls"] == "4"
    assert reply.headers["x-cogitate-strategy"] == "best_of(n=4, scorer=majority())"


def test_equal_seeds_give_equal_answers_and_no_seed_another(toy):
    assert toy(seed=3).json()["choices"] == toy(seed=3).json()["choices"]
    several = {toy().json()["choices"][0]["message"]["content"] for _ in range(4)}
    assert len(several) > 1


def test_n_gives_the_best_distinct_candidates_of_one_ranking(toy):
    reply = toy(n=3, seed=1)
    choices = reply.json()["choices"]
    assert [c["index"] for c in choices] == [0, 1, 2]
    assert len({c["message"]["content"] for c in choices}) == 3
    assert reply.headers["x-cogitate-calls"] == "4"
    refused(toy(n=65), "n")


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"foo": 1}, "foo"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"functions": []}, "functions"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"store": True}, "store"),
        ({"temperature": 3}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"n": "2"}, "n"),
        ({"stop": [""]}, "stop"),
        ({"stream": 1}, "stream"),
        ({"stream_options": {}}, "stream_options"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "web"}]}, "tools[0].type"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"seed": 1, "cogitate": {"seed": 2}}, "cogitate.seed"),
        ({"cogitate": {"depth": 2}}, "cogitate.depth"),
        ({"cogitate": {"kind": "poem"}}, "cogitate.kind"),
        ({"cogitate": {"budget": {"coins": 2}}}, "cogitate.budget.coins"),
        ({"cogitate": {"budget": {"calls": 0}}}, "cogitate.budget.calls"),
        ({"cogitate": {"budget": {"seconds": 1e6}}}, "cogitate.budget.seconds"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": " "}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x", "mood": 1}]}, "messages[0].mood"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "messages[0].tool_call_id"),
        ({"model": 7}, "model"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_its_name(toy, more, param):
    refused(toy(**more), param)


def test_what_changes_no_answer_is_taken(toy):
    more = {
        "user": "u",
        "metadata": {"a": "b"},
        "store": False,
        "logit_bias": {},
        "verbosity": None,
    }
    assert toy(**more).status_code == 200


def test_a_model_of_this_process_gives_one_sample(toy):
    reply = toy("toy")
    assert reply.headers["x-cogitate-calls"] == "1"
    assert "x-cogitate-strategy" not in reply.headers
    assert len(toy("toy", n=3).json()["choices"]) == 3
    refused(toy("toy", foo=1), "foo")


def test_the_strategy_may_stand_in_five_places_that_must_agree(toy):
    spec = "best_of(n=2, scorer=majority())"
    ways = [
        toy(f"{spec}@toy"),
        toy("toy", headers={"x-cogitate-strategy": spec}),
        toy("toy", cogitate={"strategy": spec}),
        toy("toy", path=f"/strategies/{spec}"),
        toy("toy", settings=f"strategy = '{spec}'\n"),
        toy("careful@toy", settings=f"[gateway.strategies]\ncareful = '{spec}'\n"),
        toy("both", settings=f"models = ['both']\n[aliases]\nboth = '{spec}@toy'\n"),
        toy(f"{spec}@toy", headers={"x-cogitate-strategy": "best_of( n=2, scorer=majority )"}),
    ]
    for reply in ways:
        assert reply.headers["x-cogitate-strategy"] == spec
        assert reply.headers["x-cogitate-calls"] == "2"
    none = toy("toy", headers={"x-cogitate-strategy": "none"}, settings=f"strategy = '{spec}'\n")
    assert none.headers["x-cogitate-calls"] == "1"
    other = {"x-cogitate-strategy": "best_of(n=3)"}
    error = refused(toy(f"{spec}@toy", headers=other), "x-cogitate-strategy")
    assert error["code"] == "conflicting_strategies"
    refused(toy("toy", cogitate={"strategy": spec}, headers=other), "x-cogitate-strategy")
    refused(toy("toy", cogitate={"strategy": "best_off(n=2)"}), "cogitate.strategy")
    refused(toy("nope"), "model", 404)
    refused(toy("best_of(n=2)@nope"), "model", 404)
    refused(toy("openai:http://127.0.0.1:1/v1#m"), "model", 404)
    refused(toy("toy | toy"), "model", 404)


def test_budgets_come_from_every_place_within_the_maximum(toy):
    most = "[gateway.most]\ncalls = 3\n"
    assert toy(settings=most).headers["x-cogitate-calls"] == "3"
    assert toy(cogitate={"budget": {"calls": 2}}).headers["x-cogitate-calls"] == "2"
    assert toy(headers={"x-cogitate-calls": "1"}).headers["x-cogitate-calls"] == "1"
    assert toy(reasoning_effort="minimal").headers["x-cogitate-calls"] == "2"
    refused(toy(settings=most, headers={"x-cogitate-calls": "4"}), "x-cogitate-calls")
    both = {"x-cogitate-calls": "1"}
    refused(toy(headers=both, cogitate={"budget": {"calls": 2}}), "x-cogitate-calls")
    little = toy(max_completion_tokens=30)
    assert little.json()["usage"]["completion_tokens"] <= 30
    doubled = toy(max_completion_tokens=200, settings="completion_factor = 0.1\n").json()
    assert doubled["usage"]["completion_tokens"] <= 20


def test_a_budget_that_buys_nothing_ends_as_length(toy):
    reply = toy(cogitate={"budget": {"tokens_in": 1}})
    assert reply.status_code == 200
    (choice,) = reply.json()["choices"]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["content"] == ""


def test_completions_answer_a_prompt(tmp_path):
    async def go():
        gateway = app(load(tmp_path / "x.toml", environment={}), models={"toy": FakeEngine()})
        transport = httpx.ASGITransport(gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://t") as client:
            body = {"model": "self_consistency(n=2)@toy", "prompt": "What is 2 + 2?"}
            whole = await client.post("/v1/completions", json=body)
            pieces = await client.post("/v1/completions", json={**body, "stream": True})
            wrong = await client.post("/v1/completions", json={**body, "prompt": [1, 2]})
        await gateway.close()
        return whole, pieces, wrong

    (tmp_path / "x.toml").write_text("")
    whole, pieces, wrong = asyncio.run(go())
    value = whole.json()
    assert value["object"] == "text_completion"
    assert set(value["choices"][0]) == {"index", "text", "logprobs", "finish_reason"}
    found, _ = events(pieces.text)
    assert "".join(e["choices"][0]["text"] for e in found[:-1])
    refused(wrong, "prompt")


# ----------------------------------------------------------------------------------- streams


def test_a_buffered_stream_says_so_and_keeps_the_order_of_chunks(toy):
    reply = toy(stream=True, stream_options={"include_usage": True})
    assert reply.headers["x-cogitate-buffered"] == "true"
    assert reply.headers["content-type"].startswith("text/event-stream")
    found, comments = events(reply.text)
    assert found[-1] == "[DONE]"
    first, *middle, last, total = found[:-1]
    assert first["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(e["choices"][0]["delta"]["content"] for e in middle).endswith("#### 42")
    assert last["choices"][0]["finish_reason"] == "stop"
    assert total["choices"] == []
    assert total["usage"]["completion_tokens"] > 0
    assert len({e["id"] for e in found[:-1]}) == 1
    assert {e["object"] for e in found[:-1]} == {"chat.completion.chunk"}
    assert "calls=4" in comments[-1]
    assert "overhead_ms=" in comments[-1]


def test_several_choices_stream_one_after_another(toy):
    found, _ = events(toy(stream=True, n=2).text)
    texts = ["", ""]
    for event in found[:-1]:
        for choice in event["choices"]:
            texts[choice["index"]] += choice["delta"].get("content", "")
    assert all(texts)
    assert texts[0] != texts[1]


def test_a_stream_opens_no_choice_that_it_does_not_close(toy):
    found, _ = events(toy("best_of(n=1, scorer=majority())@toy", stream=True, n=3).text)
    choices = [c for e in found[:-1] for c in e["choices"]]
    assert {c["index"] for c in choices} == {0}
    assert choices[0]["delta"]["role"] == "assistant"
    assert choices[-1]["finish_reason"] == "stop"


def streamed(pieces, gate=None):
    """An upstream that streams these texts, the last one once the gate opens."""

    async def reply(body, request):
        if not body.get("stream"):
            return completion("".join(pieces))
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for at, piece in enumerate(pieces):
            while gate is not None and at == len(pieces) - 1 and not gate.is_set():
                await asyncio.sleep(0.005)
            await response.write(chunk(piece))
            await asyncio.sleep(0.01)
        await response.write(chunk(end="stop") + b"data: [DONE]\n\n")
        return response

    return reply


@pytest.mark.parametrize("spec", ["greedy()", "fusion(n=2)"])
def test_content_leaves_before_the_last_token_of_the_server(tmp_path, spec):
    gate = threading.Event()
    with serving(streamed(["Oaks ", "are ", "trees."], gate), tmp_path=tmp_path) as served:
        body = {"model": f"{spec}@up", "messages": QUESTION, "stream": True}
        got = b""
        with served.client.stream("POST", "/v1/chat/completions", json=body) as reply:
            assert "x-cogitate-buffered" not in reply.headers
            for piece in reply.iter_raw():
                got += piece
                if b"are" in got and not gate.is_set():
                    assert b"trees" not in got
                    gate.set()  # only now does the server say its last word
        assert gate.is_set()
        found, _ = events(got.decode())
        said = [e["choices"][0]["delta"].get("content", "") for e in found[:-1]]
        assert "".join(said) == "Oaks are trees."
        assert len([s for s in said if s]) >= 2


def test_a_stream_that_breaks_off_ends_in_an_error(tmp_path):
    async def reply(body, request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(chunk("Oaks "))
        await asyncio.sleep(0.1)
        await response.write(b'data: {"error": {"message": "boom", "code": 400}}\n\n')
        return response

    with serving(reply, tmp_path=tmp_path) as served:
        found, _ = events(served.chat("greedy()@up", stream=True).text)
        assert found[1]["choices"][0]["delta"]["content"] == "Oaks "
        assert set(found[-1]) == {"error"}


def test_a_stream_that_fails_before_its_first_word_has_a_status(tmp_path):
    with serving(lambda body, request: 400, tmp_path=tmp_path) as served:
        reply = served.chat("greedy()@up", stream=True)
        assert 400 <= reply.status_code < 600
        assert reply.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_ends_every_call_within_a_second(tmp_path, stream):
    async def reply(body, request):
        await asyncio.sleep(30)

    with serving(reply, tmp_path=tmp_path) as served:
        body = {"model": "best_of(n=4)@up", "messages": QUESTION, "stream": stream}
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{served.url}/v1/chat/completions", json=body, timeout=0.5)
        start = time.monotonic()
        assert eventually(lambda: served.upstream.cut == 4, 1.0)
        assert time.monotonic() - start < 1.0
        assert eventually(lambda: not served.gateway._leashes and not served.tasks())
        assert served.gateway.accounts.turns.running == 0


def test_a_deadline_gives_the_best_so_far_or_says_that_there_is_none(tmp_path):
    async def reply(body, request):
        await asyncio.sleep(30)

    with serving(reply, tmp_path=tmp_path) as served:
        answer = served.chat("best_of(n=2)@up", cogitate={"budget": {"seconds": 0.3}})
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "deadline_exceeded"


# -------------------------------------------------------------------- conversations and tools


def test_turns_images_and_settings_reach_the_model(tmp_path):
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Before"},
                {
                    "type": "image_url",
                    "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"},
                },
                {"type": "text", "text": "after?"},
            ],
        },
    ]
    with serving(tmp_path=tmp_path) as served:
        reply = served.chat(
            "best_of(n=2, scorer=majority())@up",
            messages,
            temperature=0.3,
            top_p=0.9,
            presence_penalty=0.5,
            max_tokens=50,
        )
        assert reply.status_code == 200, reply.text
        for body in served.upstream.bodies:
            roles = [m["role"] for m in body["messages"]]
            assert roles == ["system", "user", "assistant", "user"]
            assert body["messages"][0]["content"] == "Be brief."
            parts = body["messages"][3]["content"]
            assert [p["type"] for p in parts] == ["text", "image_url", "text"]
            assert parts[1]["image_url"] == {"url": "data:image/png;base64,AA==", "detail": "low"}
            assert body["temperature"] == 0.3
            assert body["top_p"] == 0.9
            assert body["presence_penalty"] == 0.5
            assert body["max_tokens"] == 50


def test_the_answer_ends_before_the_callers_stop_string(tmp_path):
    with serving(streamed(["Oaks ", "are EN", "D trees."]), tmp_path=tmp_path) as served:
        for stream in (False, True):
            reply = served.chat("greedy()@up", stop=["END"], stream=stream)
            if not stream:
                choice = reply.json()["choices"][0]
                assert choice["message"]["content"] == "Oaks are "
                assert choice["finish_reason"] == "stop"
                continue
            found, _ = events(reply.text)
            said = [e["choices"][0]["delta"].get("content", "") for e in found[:-1]]
            assert "".join(said) == "Oaks are "


def test_logprobs_come_back_with_their_tokens_or_are_refused(tmp_path, toy):
    def reply(body, request):
        value = completion("Oaks grow")
        top = [{"token": "Oaks", "logprob": -0.1, "bytes": None}]
        value["choices"][0]["logprobs"] = {
            "content": [
                {"token": "Oaks", "logprob": -0.1, "bytes": None, "top_logprobs": top},
                {"token": " grow", "logprob": -0.2, "bytes": None, "top_logprobs": []},
            ]
        }
        return value

    assert toy("greedy()@toy", logprobs=True).json()["choices"][0]["logprobs"]["content"]
    with serving(tmp_path=tmp_path) as served:  # of which nobody knows whether it can
        refused(served.chat("greedy()@up", logprobs=True), "logprobs")
    with serving(reply, dialect="openai", tmp_path=tmp_path) as served:
        answer = served.chat("greedy()@up", logprobs=True, top_logprobs=1)
        assert answer.status_code == 200, answer.text
        content = answer.json()["choices"][0]["logprobs"]["content"]
        assert [(t["token"], t["logprob"]) for t in content] == [("Oaks", -0.1), (" grow", -0.2)]
        assert bytes(content[1]["bytes"]).decode() == " grow"
        assert content[0]["top_logprobs"][0]["token"] == "Oaks"
        assert served.chat("greedy()@up").json()["choices"][0]["logprobs"] is None
        found, _ = events(served.chat("greedy()@up", logprobs=True, stream=True).text)
        told = [e["choices"][0]["logprobs"] for e in found[:-1] if e["choices"][0]["logprobs"]]
        assert len(told[0]["content"]) == 2


TOOL = {
    "type": "function",
    "function": {"name": "find", "parameters": {"type": "object"}, "strict": True},
}


def call(arguments, id="call_1"):
    return {"id": id, "type": "function", "function": {"name": "find", "arguments": arguments}}


def test_tool_calls_are_voted_on_and_the_winner_comes_back(tmp_path):
    said = ['{"q": "oak"}', '{"q": "elm"}', '{ "q":"oak" }']

    def reply(body, request):
        return completion(None, tool_calls=[call(said[len(served.upstream.bodies) % 3])])

    with serving(reply, tmp_path=tmp_path) as served:
        answer = served.chat(
            "best_of(n=3)@up", tools=[TOOL], tool_choice="required", parallel_tool_calls=False
        )
        assert answer.status_code == 200, answer.text
        (choice,) = answer.json()["choices"]
        assert choice["finish_reason"] == "tool_calls"
        (made,) = choice["message"]["tool_calls"]
        assert json.loads(made["function"]["arguments"]) == {"q": "oak"}
        assert choice["message"]["content"] is None
        assert len(served.upstream.bodies) == 3
        body = served.upstream.bodies[0]
        assert body["tools"] == [TOOL]
        assert body["tool_choice"] == "required"
        assert body["parallel_tool_calls"] is False
        assert [m["role"] for m in body["messages"]] == ["user"]
        text = served.chat("best_of(n=3)@up", tools=[TOOL], stream=True).text
        found, _ = events(text)
        deltas = [e["choices"][0]["delta"] for e in found[:-1]]
        calls = [d["tool_calls"][0] for d in deltas if "tool_calls" in d]
        assert calls[0]["index"] == 0
        assert calls[0]["function"]["name"] == "find"
        assert found[-2]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_schema_is_enforced_by_the_server_or_refused_by_name(tmp_path, toy):
    schema = {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    with serving(
        lambda body, request: completion('{"a": 1}'), dialect="openai", tmp_path=tmp_path
    ) as served:
        reply = served.chat("self_consistency(n=2)@up", response_format=form)
        assert json.loads(reply.json()["choices"][0]["message"]["content"]) == {"a": 1}
        sent = served.upstream.bodies[0]["response_format"]
        assert sent["type"] == "json_schema"
        assert sent["json_schema"]["schema"] == schema
        assert [m["role"] for m in served.upstream.bodies[0]["messages"]] == ["user"]
    with serving(tmp_path=tmp_path) as served:
        error = refused(served.chat("greedy()@up", response_format=form), "response_format")
        assert error["code"] == "unsupported"
    content = toy("greedy()@toy", response_format=form).json()["choices"][0]["message"]["content"]
    assert "a" in json.loads(content)


def test_an_answered_tool_call_goes_on_as_a_conversation(tmp_path):
    messages = [
        {"role": "user", "content": "Find oaks."},
        {"role": "assistant", "content": None, "tool_calls": [call('{"q": "oak"}')]},
        {"role": "tool", "tool_call_id": "call_1", "content": "three oaks"},
    ]
    with serving(tmp_path=tmp_path) as served:
        reply = served.chat("greedy()@up", messages, tools=[TOOL])
        assert reply.status_code == 200, reply.text
        sent = served.upstream.bodies[0]["messages"]
        assert sent[1]["tool_calls"][0]["function"] == {"name": "find", "arguments": '{"q": "oak"}'}
        assert sent[2]["tool_call_id"] == "call_1"


def test_candidates_that_say_the_same_are_one_choice():
    from cogitate.apps.gateway.replying import distinct
    from cogitate.core.candidates import Artifact, Candidate, Ranking, Score
    from cogitate.core.task import ToolCall

    def candidate(text, id="", answer=None):
        calls = (ToolCall(id, "find", "{}"),) if id else ()
        return Candidate(Artifact(text, answer, calls=calls), Score(1.0))

    said = [candidate("a"), candidate("a"), candidate("b"), candidate("c")]
    assert [a.text for a in distinct(Ranking(tuple(said)), 2)] == ["a", "b"]
    assert len(distinct(Ranking(tuple(said)), 9)) == 3
    calls = [candidate("", "1", "x"), candidate("", "2", "x"), candidate("", "3", "y")]
    assert [a.calls[0].id for a in distinct(Ranking(tuple(calls)), 3)] == ["1", "3"]


# ----------------------------------------------------------------------------------- journals


def test_each_request_has_a_journal_that_replays(toy, tmp_path):
    folder = tmp_path / "journals"
    reply = toy(settings=f"journals = '{folder}'\n", seed=5)
    path = folder / f"{reply.headers['x-request-id']}.jsonl"
    assert replay(path).text == reply.json()["choices"][0]["message"]["content"]


def test_settled_text_is_told_once_and_only_the_new_of_it():
    from cogitate.core.events import Chunk, Noted

    hearing = Hearing()
    hearing(Noted("", "", "settled", {"text": "a "}))
    hearing(Noted("", "", "settled", {"text": "a b"}))
    hearing(Noted("", "", "kept", {"text": "x"}))
    hearing(Chunk("", "", "not final"))
    assert hearing.take() == "a b"
    hearing(Noted("", "", "settled", {"text": "other"}))
    hearing(Chunk("", "", " end", final=True))
    assert hearing.take() == " end"
