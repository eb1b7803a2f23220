"""Other providers through LiteLLM, against a loopback server and the library's own fakes."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
from loopback import answering

if find_spec("litellm") is None:  # importing it here would load it before we make it quiet
    pytest.skip("needs the extra litellm", allow_module_level=True)

from cogitate.assembly.configuration import load
from cogitate.assembly.models import open_spec
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import (
    Choice,
    Embed,
    Generate,
    Grammar,
    JsonSchema,
    Regex,
    Reply,
    Sampling,
)
from cogitate.core.task import Attachment, Message
from cogitate.core.until import GIVEN_UP, ConfidenceBelow, Contains
from cogitate.core.usage import Budget
from cogitate.drive import run_async
from cogitate.engines.litellm import LiteLLM
from cogitate.engines.litellm.library import failure, library
from cogitate.engines.litellm.wire import messages
from cogitate.engines.openai import Price, Secret, Timeouts

# The library itself opens and drops things; its warnings are not ours to fix.
pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::ResourceWarning",
    # The library makes types of pydantic's while it is used, and pydantic warns of their qualifiers.
    "ignore:Item .* on TypedDict class:UserWarning",
)

CHAT = "/v1/chat/completions"
ASKED = Prompt.chat(Message("system", "Be brief."), Message("user", "1 + 1?"))
PLAIN = Generate(ASKED, seed=5, max_tokens=9)
KEY = Secret("zz9very-secret-123", "OPENAI_API_KEY")


def said(text="2", finish="stop", usage=(7, 3), **choice):
    return {
        "id": "x",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-mini",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
            | choice
        ],
        "usage": {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        },
    }


def streamed(*texts, end=True, usage=(7, 3), logprobs=()):
    from aiohttp import web

    def chunk(delta, finish=None, **more):
        choice = {"index": 0, "delta": delta, "finish_reason": finish} | more
        return {
            "id": "x",
            "object": "chat.completion.chunk",
            "created": 1,
            "model": "m",
            "choices": [choice],
        }

    rows = []
    for place, text in enumerate(texts):
        more = {}
        if logprobs:
            top = [{"token": text, "logprob": logprobs[place], "bytes": None}]
            more = {"logprobs": {"content": [{**top[0], "top_logprobs": top}]}}
        rows.append(chunk({"role": "assistant", "content": text}, **more))
    if end:
        rows.append(chunk({}, "stop"))
        counts = {
            "prompt_tokens": usage[0],
            "completion_tokens": usage[1],
            "total_tokens": sum(usage),
        }
        rows.append({**chunk({}), "choices": [], "usage": counts})
    lines = "".join(f"data: {json.dumps(row)}\n\n" for row in rows) + (
        "data: [DONE]\n\n" if end else ""
    )

    def answer(body):
        assert body["stream"] is True
        return web.Response(text=lines, content_type="text/event-stream")

    return answer


def served(answer, *requests, model="openai/gpt-4o-mini", emit=None, timeouts=None, price=None):
    async def main():
        async with answering({CHAT: answer}) as server:
            options = {"api_base": f"{server.url}/v1", "api_key": KEY.reveal()}
            engine = LiteLLM(model, secrets=[KEY], options=options, timeouts=timeouts, price=price)
            try:
                outcomes = await engine.serve(requests or [PLAIN], *([emit] if emit else []))
            finally:
                await engine.close()
            return outcomes, server

    return asyncio.run(main())


def refused(request, model="openai/gpt-4o-mini"):
    (outcome,), server = served(500, request, model=model)
    assert isinstance(outcome, Failed)
    assert not server.seen, "it was sent"
    assert outcome.usage is not None
    assert outcome.usage.calls == 0
    return outcome


# ------------------------------------------------------------------------------------ replies


def test_what_is_sent_and_what_comes_back():
    (reply,), server = served(said("2"))
    (body,) = server.bodies(CHAT)
    assert body == {
        "model": "gpt-4o-mini",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "1 + 1?"},
        ],
        "max_tokens": 9,
        "temperature": 0.7,
        "seed": 5,
    }
    assert (reply.value.text, reply.value.finish, reply.value.tokens) == ("2", "eos", 3)
    assert (reply.usage.tokens_in, reply.usage.tokens_out, reply.usage.calls) == (7, 3, 1)
    known = library().model_cost["gpt-4o-mini"]
    assert reply.usage.usd == pytest.approx(
        7 * known["input_cost_per_token"] + 3 * known["output_cost_per_token"]
    )
    assert reply.seed is None
    assert reply.engine.startswith("litellm ")
    assert not reply.usage.estimated


def test_a_price_of_ours_counts_and_an_unknown_one_is_unknown():
    (reply,), _ = served(said(), price=Price(1e6, 2e6))
    assert reply.usage.usd == 13.0
    (reply,), _ = served(said(), model="openai/nobody-knows-me")
    assert reply.usage.usd is None
    assert reply.usage.flops is None


def test_long_seeds_are_folded_and_the_reply_says_so():
    (reply,), server = served(said(), Generate(ASKED, seed=2**40 + 3, max_tokens=9))
    assert (server.bodies(CHAT)[0]["seed"], reply.seed) == (3, 3)


def test_a_cut_answer_is_cut():
    (reply,), _ = served(said("2", "length"))
    assert reply.value.finish == "limit"


def test_chunks_are_emitted_as_they_come():
    heard = []
    final = Generate(ASKED, seed=5, max_tokens=9, final=True)
    (reply,), server = served(
        streamed("The ", "answer"), final, emit=lambda i, t: heard.append((i, t))
    )
    assert heard == [(0, "The "), (0, "answer")]
    assert (reply.value.text, reply.value.finish) == ("The answer", "eos")
    assert (reply.usage.tokens_in, reply.usage.tokens_out, reply.usage.estimated) == (7, 3, False)
    assert server.bodies(CHAT)[0]["stream_options"] == {"include_usage": True}


def test_the_stop_string_is_kept_and_named():
    stops = Generate(ASKED, seed=5, max_tokens=99, stop=("\n\n", "##"))
    (reply,), server = served(streamed("one\n", "\ntwo ##", " three"), stops)
    assert (reply.value.text, reply.value.finish, reply.value.stopped_by) == (
        "one\n\n",
        "stop",
        "\n\n",
    )
    assert reply.usage.estimated
    assert "stop" not in server.bodies(CHAT)[0]


def test_predicates_on_text_and_on_tokens():
    (reply,), _ = served(
        streamed("so ", "####", " 4"),
        Generate(ASKED, seed=5, max_tokens=99, until=(Contains("####"),)),
    )
    assert (reply.value.text, reply.value.finish) == ("so ####", "until")
    unsure = Generate(
        ASKED, seed=5, max_tokens=99, logprobs=1, until=(ConfidenceBelow(1.0, window=1, top=1),)
    )
    (reply,), server = served(streamed("sure", "hm", "x", logprobs=(-3.0, -0.1, -3.0)), unsure)
    assert (reply.value.text, reply.value.finish, reply.value.stopped_by) == (
        "surehm",
        "limit",
        GIVEN_UP,
    )
    assert reply.value.logprobs == (-3.0, -0.1)
    assert server.bodies(CHAT)[0]["top_logprobs"] == 1


def test_log_probabilities_come_back_or_it_fails():
    info = {
        "token": "2",
        "logprob": -0.25,
        "bytes": None,
        "top_logprobs": [{"token": "2", "logprob": -0.25, "bytes": None}],
    }
    asked = Generate(ASKED, seed=5, max_tokens=9, logprobs=1)
    (reply,), _ = served(said("2", logprobs={"content": [info]}), asked)
    assert reply.value.logprobs == (-0.25,)
    assert reply.value.top[0][0].token == "2"
    (failed,), _ = served(said("2"), asked)
    assert (failed.kind, failed.usage.tokens_out) == ("unsupported", 3)


def test_images_are_passed_by_address():
    asked = Prompt.chat(
        Message("user", "What?", (Attachment("image/png", url="https://x.test/a.png"),))
    )
    (reply,), server = served(said("a cat"), Generate(asked, seed=5, max_tokens=9))
    parts = server.bodies(CHAT)[0]["messages"][0]["content"]
    assert parts[1] == {"type": "text", "text": "What?"}
    assert parts[0]["image_url"]["url"] == "https://x.test/a.png"
    assert reply.value.text == "a cat"


def test_json_is_enforced_and_checked():
    schema = JsonSchema('{"type": "object"}')
    asked = Generate(ASKED, seed=5, max_tokens=9, constraint=schema)
    (reply,), server = served(said('{"a": 1}'), asked)
    assert reply.value.text == '{"a": 1}'
    assert server.bodies(CHAT)[0]["response_format"]["json_schema"]["schema"] == {"type": "object"}
    (failed,), _ = served(said("no"), asked)
    assert failed.kind == "malformed"


def test_the_librarys_own_fake():
    async def main():
        engine = LiteLLM(
            "anthropic/claude-haiku-4-5",
            options={"mock_response": "made up", "api_key": "x"},
        )
        (reply,) = await engine.serve([PLAIN])
        await engine.close()
        return reply

    reply = asyncio.run(main())
    assert (reply.value.text, reply.value.finish) == ("made up", "eos")
    assert reply.usage.usd > 0


# ------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": Prompt.raw("raw")}, "raw prompts"),
        ({"prompt": Prompt.tokens([1])}, "raw prompts"),
        ({"prompt": ASKED.then("So")}, "begun answer"),
        ({"sampling": Sampling(top_k=5)}, "top_k"),
        ({"sampling": Sampling(min_p=0.1)}, "min_p"),
        ({"constraint": Choice(("a",))}, "constraint choice"),
        ({"constraint": Grammar("root")}, "constraint grammar"),
        ({"constraint": Regex("a")}, "constraint regex"),
        ({"constraint": JsonSchema("[")}, "no JSON object"),
        ({"until": (ConfidenceBelow(1.0, top=5),)}, "ask for 5"),
        (
            {"prompt": Prompt.chat(Message("user", "?", (Attachment("image/png"),)))},
            "without an address",
        ),
        (
            {"prompt": Prompt.chat(Message("user", "?", (Attachment("audio/wav", url="x"),)))},
            "audio/wav",
        ),
    ],
)
def test_what_a_provider_lacks_is_refused_by_name(changes, words):
    outcome = refused(Generate(**{"prompt": ASKED, "seed": 5, "max_tokens": 9} | changes))
    assert outcome.kind == "unsupported"
    assert words in str(outcome)


def test_a_provider_without_log_probabilities_refuses_them():
    outcome = refused(
        Generate(ASKED, seed=5, max_tokens=9, logprobs=1), "anthropic/claude-haiku-4-5"
    )
    assert "log-probabilities" in str(outcome)


def test_a_begun_answer_is_continued_where_the_library_says_so():
    async def main():
        options = {"mock_response": " 2", "api_key": "x"}
        engine = LiteLLM("anthropic/claude-haiku-4-5", options=options)
        outcomes = await engine.serve([Generate(ASKED.then("It is"), seed=5, max_tokens=9)])
        await engine.close()
        return outcomes

    (reply,) = asyncio.run(main())
    assert reply.value.text == " 2"


def test_a_begun_answer_goes_where_it_is_continued():
    told = messages(ASKED.then("So"), "m", prefill=True)
    assert told[-1] == {"role": "assistant", "content": "So", "prefix": True}


def test_other_requests_are_not_served():
    assert refused(Embed(("a",))).kind == "unserved"


# -------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("answer", "kind", "transient"),
    [
        (429, "rate_limited", True),
        (500, "crashed", True),
        (503, "crashed", True),
        (401, "refused", False),
        (404, "missing", False),
        (400, "refused", False),
        ("hang", "timeout", True),
        ({"choices": []}, None, None),
    ],
)
def test_faults_have_their_kind_are_sent_once_and_show_no_key(answer, kind, transient, capfd):
    served(said())  # a first call loads more, and may take longer than the server is given
    timeouts = Timeouts(first_byte_s=1.5) if answer == "hang" else None
    capfd.readouterr()
    (outcome,), server = served(answer, timeouts=timeouts)
    assert isinstance(outcome, Failed)
    if kind is not None:
        assert (outcome.kind, outcome.transient) == (kind, transient), str(outcome)
    assert len(server.seen) == 1
    assert (outcome.retry_after_s == 7) == (answer == 429)
    assert server.seen[0][2]["Authorization"] == f"Bearer {KEY.reveal()}"
    assert "very-secret" not in str(outcome) + repr(outcome)
    assert outcome.__cause__ is None
    assert outcome.__context__ is None
    assert len(str(outcome)) < 500
    assert "\n" not in str(outcome)
    assert capfd.readouterr() == ("", "")


def test_a_stream_that_breaks_off_is_cut_and_paid_for():
    final = Generate(ASKED, seed=5, max_tokens=9, final=True)
    (outcome,), _ = served(streamed("The ", "ans", end=False), final)
    assert isinstance(outcome, Failed)
    assert (outcome.kind, outcome.transient) == ("cut", True)
    assert outcome.usage.tokens_out > 0
    assert outcome.usage.estimated


def test_keys_are_taken_out_of_every_message():
    class AuthenticationError(Exception):
        pass

    error = AuthenticationError(
        "Incorrect key zz9very-secret-123, or sk-ve*******123, at\nx keyboards"
    )
    found = failure(error, "m", [KEY])
    assert "secret" not in str(found)
    assert "ve***" not in str(found)
    assert "keyboards" in str(found)
    assert "set the environment variable" in str(found)


# --------------------------------------------------------------------------------------- specs


def test_a_key_that_is_not_set_is_named(monkeypatch):
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    with pytest.raises(InvalidInput, match="ANTHROPIC_API_KEY"):
        asyncio.run(open_spec("litellm:anthropic/claude-haiku-4-5", load(environment={})))


@pytest.mark.parametrize(
    ("spec", "words"), [("litellm:", "names no model"), ("litellm:never-heard", "no provider")]
)
def test_specs_that_cannot_be(spec, words):
    with pytest.raises(InvalidInput, match=words):
        asyncio.run(open_spec(spec, load(environment={})))


def test_a_spec_opens_it_under_a_budget_of_money(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY.reveal())

    async def main():
        async with answering({CHAT: said("2")}) as server:
            monkeypatch.setenv("OPENAI_API_BASE", f"{server.url}/v1")
            engine = await open_spec(
                "litellm:openai/gpt-4o-mini", load(environment={"OPENAI_API_KEY": KEY.reveal()})
            )
            try:

                async def flow():
                    return await PLAIN

                return await run_async(flow(), engine, budget=Budget(usd=0.01)), engine
            finally:
                await engine.close()

    ran, engine = asyncio.run(main())
    assert ran.value.text == "2"
    assert 0 < ran.usage.usd < 1e-5
    assert "secret" not in repr(engine) + engine.fingerprint


@pytest.mark.slow
def test_the_library_is_loaded_quietly_and_late():
    code = (
        "import sys, os, cogitate.engines.litellm as e; assert 'litellm' not in sys.modules;"
        "e.LiteLLM('openai/x'); assert 'litellm' not in sys.modules;"
        "import socket; socket.getaddrinfo = None;"
        "from cogitate.engines.litellm.library import library; m = library();"
        "assert m.suppress_debug_info and not m.callbacks and 'LITELLM_MODE' not in os.environ;"
        "assert 'FROM_DOT_ENV' not in os.environ"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={k: v for k, v in os.environ.items() if not k.startswith("LITELLM")},
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_its_loggers_write_nowhere():
    library()
    kinds = {type(handler).__name__ for handler in logging.getLogger("LiteLLM").handlers}
    assert kinds <= {"NullHandler", "LogCaptureHandler"}


def test_without_the_extra_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "litellm", None)
    engine = LiteLLM("openai/gpt-4o-mini")
    with pytest.raises(InvalidInput, match=r"cogitate\[litellm\]"):
        asyncio.run(engine.prepare())
    (outcome,) = asyncio.run(engine.serve([PLAIN]))
    assert (outcome.kind, isinstance(outcome, Reply)) == ("missing", False)
