"""The real `openai` client, unmodified but for its base URL, through sockets, with everything it offers."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
openai = pytest.importorskip("openai")
pydantic = pytest.importorskip("pydantic")

from aiohttp import web  # noqa: E402
from clients_upstream import CITY, WORDS, Model  # noqa: E402
from gateway_harness import QUESTION, eventually, serving  # noqa: E402

SUM = [{"role": "user", "content": "What is 17 + 25?"}]
OAKS = "".join(WORDS)
PIXEL = "data:image/png;base64,iVBORw0KGgo="
ALL = {
    "best_of": "best_of(n=3, scorer=majority())",
    "self_consistency": "self_consistency(n=3)",
    "beam_search": "beam_search(width=2, branch=2, depth=4)",
    "fusion": "fusion(n=2)",
}
EITHER = ["up", "greedy()@up", "best_of(n=2, scorer=majority())@up"]
"""Pass-through, a strategy that streams, and one that must be buffered."""

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "The weather of a city.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
                "additionalProperties": False,
            },
            "strict": True,
        },
    }
]


class City(pydantic.BaseModel):
    name: str
    people: int


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A gateway, and the model behind it."""
    model = Model()
    # Steps need a server that goes on with a message that was begun, as OpenAI's own does not.
    local = (
        'models = ["up", "local"]\n[endpoints.local]\nbase_url = "http://127.0.0.1:PORT/v1"\n'
        'model = "up-model"\ndialect = "ollama"\nkey_variable = "UP_KEY"\n'
    )
    folder = tmp_path_factory.mktemp("clients")
    with serving(model, local, dialect="openai", tmp_path=folder) as served:
        served.model = model
        yield served


@pytest.fixture
def served(place):
    place.model.before, place.model.pause_s = None, 0.0
    place.upstream.bodies.clear()
    place.upstream.cut = 0
    place.upstream.gone.clear()
    return place


@pytest.fixture
def client(served):
    with openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def strict(value: Any) -> Any:
    """The same value, after every part of it was held to the client's own types.

    The client itself builds its objects without looking; nothing may be missing, of another type, or unknown.
    """
    for inner in models_in(value):
        kind = type(inner)
        kind.model_validate(inner.model_dump(exclude_unset=True, warnings=False), strict=True)
        for name in inner.model_extra or {}:
            assert name.startswith(("x_", "cogitate")), f"{kind.__name__}.{name} is not known"
    return value


def models_in(value: Any) -> Iterator[Any]:
    if isinstance(value, pydantic.BaseModel):
        yield value
        for name in value.model_fields_set:
            yield from models_in(getattr(value, name))
    elif isinstance(value, list):
        for item in value:
            yield from models_in(item)


def create(client: Any, model: str = "up", messages: Any = QUESTION, **more: Any) -> Any:
    return strict(client.chat.completions.create(model=model, messages=messages, **more))


def chunks(client: Any, model: str = "up", messages: Any = QUESTION, **more: Any) -> list[Any]:
    """Every chunk, validated; they belong together and begin with who speaks."""
    found = client.chat.completions.create(model=model, messages=messages, stream=True, **more)
    pieces = [strict(piece) for piece in found]
    assert len({piece.id for piece in pieces}) == 1
    assert pieces[0].choices[0].delta.role == "assistant"
    return pieces


def said_in(pieces: list[Any], index: int = 0) -> str:
    return "".join(
        choice.delta.content or ""
        for piece in pieces
        for choice in piece.choices
        if choice.index == index
    )


def test_the_check_itself_finds_what_is_wrong(client):
    good = create(client)
    for wrong in ({"created": "now"}, {"object": "chat"}, {"surplus": 1}):
        bad = type(good).construct(**{**good.model_dump(exclude_unset=True), **wrong})
        with pytest.raises((AssertionError, pydantic.ValidationError)):
            strict(bad)
    raw = good.model_dump(exclude_unset=True)
    del raw["choices"][0]["message"]["role"]
    with pytest.raises(pydantic.ValidationError):
        strict(type(good).construct(**raw))


# ---------------------------------------------------------------------------------- answers


@pytest.mark.parametrize("model", EITHER)
def test_a_reply_is_what_the_client_expects(client, model):
    reply = create(client, model, temperature=0.5, seed=7, user="u", max_tokens=60)
    assert reply.choices[0].message.content == OAKS
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 0
    assert reply.usage.prompt_tokens_details.cached_tokens >= 1
    assert reply._request_id.startswith("chatcmpl-")


@pytest.mark.parametrize("model", EITHER)
def test_a_stream_is_what_the_client_expects(client, model):
    pieces = chunks(client, model)
    assert said_in(pieces) == OAKS
    assert [c.finish_reason for p in pieces for c in p.choices if c.finish_reason] == ["stop"]
    assert all(piece.usage is None for piece in pieces)
    pieces = chunks(client, model, stream_options={"include_usage": True})
    assert said_in(pieces) == OAKS
    assert pieces[-1].choices == []
    assert pieces[-1].usage.completion_tokens > 0
    assert all(piece.usage is None for piece in pieces[:-1])


@pytest.mark.parametrize("name", ALL)
def test_a_strategy_is_named_in_four_ways(served, client, name):
    spec = ALL[name]
    at = "local" if name == "beam_search" else "up"
    prefixed = client.with_options(base_url=f"{served.url}/strategies/{spec}/v1")
    ways = [
        (client, f"{spec}@{at}", {}),
        (prefixed, at, {}),
        (client, at, {"extra_headers": {"x-cogitate-strategy": spec}}),
        (client, at, {"extra_body": {"cogitate": {"strategy": spec}}}),
    ]
    for who, model, more in ways:
        reply = create(who, model, SUM, seed=1, **more)
        assert reply.choices[0].message.content.endswith("\\boxed{42}")
        assert reply.choices[0].finish_reason == "stop"
        assert reply.usage.completion_tokens >= 15
        pieces = chunks(who, model, SUM, seed=1, **more)
        assert said_in(pieces) == reply.choices[0].message.content
    sent = [body["model"] for body in served.upstream.bodies]
    assert len(sent) >= 8
    assert set(sent) == {"up-model"}
    assert "cogitate" not in json.dumps(served.upstream.bodies)


def test_the_asynchronous_client_asks_many_things_at_once(served):
    async def go():
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as client:

            async def ask(model, stream):
                found = await client.chat.completions.create(
                    model=model, messages=QUESTION, stream=stream
                )
                if stream:
                    return said_in([strict(piece) async for piece in found])
                return strict(found).choices[0].message.content

            asked = (ask(model, stream) for model in EITHER * 4 for stream in (False, True))
            return await asyncio.gather(*asked)

    assert set(asyncio.run(go())) == {OAKS}


def test_models_are_listed_and_found(client):
    listed = [strict(model).id for model in client.models.list()]
    assert listed == ["up", "local"]
    assert strict(client.models.retrieve("best_of(n=2)@up")).id == "best_of(n=2)@up"


@pytest.mark.parametrize("model", ["up", "best_of(n=2, scorer=majority())@up"])
def test_the_older_completions_work(client, model):
    reply = strict(client.completions.create(model=model, prompt="Say something about oaks."))
    assert reply.choices[0].text == OAKS
    if model != "up":
        found = list(client.completions.create(model=model, prompt="About oaks.", stream=True))
        assert "".join(piece.choices[0].text for piece in found) == OAKS
        strict(found[-1])  # the others have no end yet, for which OpenAI's own types have no word


# ------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("model", ["up", "best_of(n=3, scorer=majority())@up"])
def test_several_choices(client, model):
    messages = [{"role": "user", "content": "About oaks, differently."}]
    reply = create(client, model, messages, n=3, seed=5)
    texts = [choice.message.content for choice in reply.choices]
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert len(set(texts)) == 3
    pieces = chunks(client, model, messages, n=3, seed=5)
    assert [said_in(pieces, index) for index in range(3)] == texts


@pytest.mark.parametrize("model", EITHER)
def test_stop_is_honoured(client, model):
    reply = create(client, model, stop=[" trees", "###"])
    assert reply.choices[0].message.content.endswith("are old")
    assert reply.choices[0].finish_reason == "stop"
    assert said_in(chunks(client, model, stop=" trees")).endswith("are old")


@pytest.mark.parametrize("model", EITHER)
def test_equal_seeds_give_equal_answers(client, model):
    messages = [{"role": "user", "content": "About oaks, differently."}]
    first, again, other = (create(client, model, messages, seed=seed) for seed in (3, 3, 4))
    assert first.choices[0].message.content == again.choices[0].message.content
    assert first.choices[0].message.content != other.choices[0].message.content


@pytest.mark.parametrize("model", EITHER)
def test_logprobs(client, model):
    reply = create(client, model, logprobs=True, top_logprobs=1)
    tokens = reply.choices[0].logprobs.content
    assert "".join(token.token for token in tokens) == reply.choices[0].message.content
    assert tokens[0].top_logprobs[0].token == tokens[0].token
    assert bytes(tokens[1].bytes).decode() == tokens[1].token
    pieces = chunks(client, model, logprobs=True)
    told = [c.logprobs for p in pieces for c in p.choices if c.logprobs]
    assert "".join(token.token for each in told for token in each.content) == said_in(pieces)


@pytest.mark.parametrize("model", EITHER)
def test_images_go_through_as_data(served, client, model):
    content = [
        {"type": "text", "text": "Before"},
        {"type": "image_url", "image_url": {"url": PIXEL, "detail": "low"}},
        {"type": "text", "text": "after"},
    ]
    create(client, model, [{"role": "user", "content": content}])
    for body in served.upstream.bodies:
        assert body["messages"][-1]["content"] == content


# ------------------------------------------------------------------- tools and structured output


@pytest.mark.parametrize("model", EITHER)
def test_tools_are_called_answered_and_called_again(served, client, model):
    messages: list[Any] = [{"role": "user", "content": "The weather of both towns?"}]
    reply = create(client, model, messages, tools=TOOLS)
    assert reply.choices[0].finish_reason == "tool_calls"
    called = reply.choices[0].message
    assert [json.loads(c.function.arguments)["city"] for c in called.tool_calls] == ["Oslo", "Rome"]
    assert len({c.id for c in called.tool_calls}) == 2
    messages.append(called.model_dump(exclude_none=True))
    messages += [
        {"role": "tool", "tool_call_id": c.id, "content": "rain"} for c in called.tool_calls
    ]
    reply = create(client, model, messages, tools=TOOLS)
    assert reply.choices[0].message.content == "The tool says rain."
    sent = served.upstream.bodies[-1]
    assert [m["role"] for m in sent["messages"]] == ["user", "assistant", "tool", "tool"]
    ids = [call["id"] for call in sent["messages"][1]["tool_calls"]]
    assert ids == [m["tool_call_id"] for m in sent["messages"][2:]]
    assert sent["tools"] == TOOLS


@pytest.mark.parametrize("model", EITHER)
def test_a_choice_of_tools_is_honoured(served, client, model):
    none = create(client, model, tools=TOOLS, tool_choice="none")
    assert none.choices[0].message.tool_calls is None
    named = {"type": "function", "function": {"name": "weather"}}
    for choice in ("required", named):
        reply = create(client, model, tools=TOOLS, tool_choice=choice, parallel_tool_calls=False)
        assert reply.choices[0].message.tool_calls[0].function.name == "weather"
        assert served.upstream.bodies[-1]["tool_choice"] == choice
        assert served.upstream.bodies[-1]["parallel_tool_calls"] is False


@pytest.mark.parametrize("model", EITHER)
def test_calls_stream_and_the_clients_own_reader_puts_them_together(client, model):
    asked = {"model": model, "messages": QUESTION, "tools": TOOLS}
    with client.chat.completions.stream(**asked) as stream:
        for happening in stream:
            if happening.type == "chunk":
                strict(happening.chunk)
        whole = stream.get_final_completion()
    (called,) = whole.choices[0].message.tool_calls
    assert called.function.parsed_arguments == {"city": "Oslo"}
    assert whole.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize("model", EITHER)
def test_structured_output_is_parsed_by_the_client(served, client, model):
    shape = {
        "type": "json_schema",
        "json_schema": {"name": "city", "schema": City.model_json_schema()},
    }
    assert (
        json.loads(create(client, model, response_format=shape).choices[0].message.content) == CITY
    )
    parsed = client.chat.completions.parse(model=model, messages=QUESTION, response_format=City)
    assert parsed.choices[0].message.parsed == City(**CITY)
    for body in served.upstream.bodies:
        assert body["response_format"]["type"] == "json_schema"
        assert body["response_format"]["json_schema"]["schema"]["required"] == ["name", "people"]
    with client.chat.completions.stream(
        model=model, messages=QUESTION, response_format=City
    ) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == City(**CITY)


# ----------------------------------------------------------------------- errors and endings


def answer(text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    usage = {"prompt_tokens": 3, "completion_tokens": 1, "total_tokens": 4}
    return {
        "id": "up-2",
        "object": "chat.completion",
        "created": 1,
        "model": "up-model",
        "choices": [choice],
        "usage": usage,
    }


def test_errors_are_the_clients_own(served, client):
    with pytest.raises(openai.BadRequestError) as wrong:
        create(client, "best_of(n=2)@up", temperature=9)
    assert (wrong.value.param, wrong.value.type) == ("temperature", "invalid_request_error")
    with pytest.raises(openai.BadRequestError) as unknown:
        create(client, "best_of(n=2)@up", extra_body={"surplus": 1})
    assert (unknown.value.param, unknown.value.code) == ("surplus", "unknown_parameter")
    with pytest.raises(openai.BadRequestError) as conflict:
        create(client, "best_of(n=2)@up", extra_headers={"x-cogitate-strategy": "greedy()"})
    assert conflict.value.code == "conflicting_strategies"
    with pytest.raises(openai.NotFoundError) as missing:
        create(client, "nobody")
    assert (missing.value.param, missing.value.code) == ("model", "model_not_found")
    assert missing.value.request_id.startswith("chatcmpl-")
    with pytest.raises(openai.NotFoundError):
        client.embeddings.create(model="up", input="x")


@pytest.mark.parametrize("model", EITHER)
def test_failures_of_the_server_have_their_status(served, client, model):
    served.model.before = lambda body, request: 400
    with pytest.raises(openai.BadRequestError) as wrong:
        create(client, model)
    assert "127.0.0.1" not in str(wrong.value.body)
    served.model.before = lambda body, request: 403
    with pytest.raises(openai.InternalServerError) as refused:
        create(client, model)
    assert refused.value.status_code == 502
    assert "operator" in refused.value.message
    assert not {"127.0.0.1", "UP_KEY"} & set(refused.value.message.replace(":", " ").split())
    with pytest.raises(openai.APIStatusError):
        chunks(client, model)


def test_a_strategy_that_the_server_cannot_carry_out_is_refused(client):
    with pytest.raises(openai.BadRequestError) as refused:
        create(client, ALL["beam_search"] + "@up", SUM)
    assert refused.value.code == "unsupported"
    assert "continuation" in refused.value.message


async def broken(body: Any, request: Any) -> Any:
    """A stream whose connection is cut after a word."""
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    piece = {"index": 0, "delta": {"role": "assistant", "content": "Oaks"}, "finish_reason": None}
    value = answer("") | {"object": "chat.completion.chunk", "choices": [piece]}
    await response.write(b"data: " + json.dumps(value).encode() + b"\n\n")
    await asyncio.sleep(0.05)
    request.transport.abort()
    return response


def test_a_stream_that_breaks_off_raises(served, client):
    served.model.before = broken
    with pytest.raises(openai.APIError) as failed:
        chunks(client)
    assert failed.value.code == "upstream_cut"


def test_a_stream_that_breaks_off_is_gone_on_with_under_a_strategy(served, client):
    served.model.before = lambda body, request: (
        broken(body, request) if len(served.upstream.bodies) == 1 else None
    )
    assert said_in(chunks(client, "greedy()@up")) == OAKS
    assert len(served.upstream.bodies) == 2


@pytest.mark.parametrize("model", EITHER)
def test_a_clients_timeout_ends_the_work(served, client, model):
    async def silent(body, request):
        await asyncio.sleep(30)

    served.model.before = silent
    with pytest.raises(openai.APITimeoutError):
        create(client.with_options(timeout=0.3), model)
    assert served.upstream.gone.wait(1.0)
    assert eventually(lambda: not served.gateway._leashes)


@pytest.mark.parametrize("model", EITHER)
def test_a_cancelled_task_ends_the_work(served, model):
    async def silent(body, request):
        await asyncio.sleep(30)

    async def go():
        async with openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="none") as client:
            asked = asyncio.ensure_future(
                client.chat.completions.create(model=model, messages=QUESTION)
            )
            while not served.upstream.open:
                await asyncio.sleep(0.01)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked

    served.model.before = silent
    asyncio.run(go())
    assert served.upstream.gone.wait(1.0)


@pytest.mark.parametrize("model", EITHER[:2])
def test_a_closed_stream_ends_the_work(served, client, model):
    served.model.pause_s = 0.3
    start = time.monotonic()
    with client.chat.completions.create(model=model, messages=QUESTION, stream=True) as stream:
        for piece in stream:
            if piece.choices[0].delta.content:
                break
    assert eventually(lambda: not served.gateway._leashes and not served.upstream.open, 1.0)
    assert time.monotonic() - start < 1.4


# -------------------------------------------------------------------------- keys and quotas


@pytest.fixture
def keyed(tmp_path):
    """A gateway with keys; `make(name, **more)` gives a client with one."""
    pytest.importorskip("sqlalchemy")
    from cogitate.apps.gateway.accounts import Accounts
    from cogitate.apps.gateway.accounts.keyring import add
    from cogitate.apps.gateway.accounts.tables import opened

    engine = opened(tmp_path / "keys.db")
    accounts = Accounts.open(tmp_path / "keys.db")
    model = Model()
    with serving(model, dialect="openai", accounts=accounts, tmp_path=tmp_path) as served:

        def make(name, retries=0, **more):
            with engine.begin() as connection:
                secret = add(connection, name, now=time.time(), **more).secret
            return openai.OpenAI(base_url=f"{served.url}/v1", api_key=secret, max_retries=retries)

        served.make, served.model = make, model
        yield served
    engine.dispose()


def test_a_key_opens_and_none_does_not(keyed):
    with keyed.make("ann") as client:
        assert create(client, "best_of(n=2, scorer=majority())@up").choices
        assert list(client.models.list())
    stranger = "cog_000000000000_" + "A" * 43
    with openai.OpenAI(base_url=f"{keyed.url}/v1", api_key=stranger, max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as refused:
            create(client)
        assert refused.value.code == "invalid_api_key"
        assert stranger not in str(refused.value.body)
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


def test_a_spent_quota_is_a_rate_limit_that_says_when(keyed):
    from cogitate.apps.gateway.accounts import Quota

    with keyed.make("bob", quotas=[Quota("requests", 1, "day")]) as client:
        create(client)
        with pytest.raises(openai.RateLimitError) as refused:
            create(client)
    assert int(refused.value.response.headers["retry-after"]) > 0
    assert refused.value.code == "rate_limit_exceeded"


def test_the_clients_retry_waits_as_long_as_it_is_told(keyed):
    slow = threading.Event()

    async def reply(body, request):
        while not slow.is_set():
            await asyncio.sleep(0.01)

    keyed.model.before = reply
    with keyed.make("eve", retries=2, concurrency=1) as client:
        first = threading.Thread(target=create, args=(client,))
        first.start()
        assert eventually(lambda: keyed.upstream.open == 1)
        threading.Timer(0.3, slow.set).start()
        start = time.monotonic()
        assert create(client).choices  # refused once, and let in a second later
        assert time.monotonic() - start > 0.9
        first.join(5)
    assert len(keyed.upstream.bodies) == 2


# ---------------------------------------------------------------------------------- litellm


@pytest.mark.slow  # loading it takes seconds
def test_litellm_is_a_client_too(served):
    if find_spec("litellm") is None:
        pytest.skip("needs litellm")
    script = Path(__file__).with_name("clients_litellm.py")  # apart: it drops loops and sockets
    done = subprocess.run(
        [sys.executable, "-W", "ignore", script, f"{served.url}/v1", *EITHER],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=os.environ | {"LITELLM_LOCAL_MODEL_COST_MAP": "True"},  # else it asks another host
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("conforms") == len(EITHER)
