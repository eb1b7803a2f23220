"""Embeddings over HTTP: in the server's portions, from numbers or base64, all of one length."""

from __future__ import annotations

import asyncio
import base64
import json
import struct

import pytest
from loopback import answering

from cogitate.core.errors import Failed
from cogitate.core.requests import Embed, Reply
from cogitate.engines.openai import OpenAICompatible, Price, Secret, Timeouts

LENGTHS = Embed(("a", "bbb", "cc"))


def vector(text):
    return [float(len(text)), 0.5, -0.25]


def packed(values):
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()


def answer(body, *, form=list, turned=True):
    rows = [{"index": i, "embedding": form(vector(t))} for i, t in enumerate(body["input"])]
    if turned:
        rows.reverse()
    tokens = sum(map(len, body["input"]))
    return {"data": rows, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


def served(path_answer, request=LENGTHS, *, dialect="vllm", **options):
    async def main():
        async with answering({"/v1/embeddings": path_answer}) as server:
            engine = OpenAICompatible(server.url, "e5", dialect=dialect, **options)
            (outcome,) = await engine.serve([request])
            await engine.close()
            return outcome, server

    return asyncio.run(main())


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llamacpp", "openai", "ollama", "generic"])
@pytest.mark.parametrize("form", [list, packed])
def test_every_server_in_both_forms(dialect, form):
    reply, server = served(lambda b: answer(b, form=form), dialect=dialect, price=Price(2e6, 0.0))
    assert reply.value == ((1.0, 0.5, -0.25), (3.0, 0.5, -0.25), (2.0, 0.5, -0.25))
    assert (reply.usage.tokens_in, reply.usage.tokens_out, reply.usage.calls) == (6, 0, 1)
    assert (reply.usage.usd, reply.usage.estimated) == (12.0, False)
    body = {"model": "e5", "input": ["a", "bbb", "cc"]}
    if dialect in ("vllm", "llamacpp", "openai"):
        body["encoding_format"] = "base64"
    assert server.seen[0][1] == body


@pytest.mark.parametrize(
    ("dialect", "calls"), [("openai", [2048, 252]), ("vllm", [*[256] * 8, 252])]
)
def test_many_texts_go_in_portions_and_come_back_in_order(dialect, calls):
    texts = tuple("x" * (1 + i % 7) for i in range(2300))
    reply, server = served(answer, Embed(texts), dialect=dialect)
    assert sorted((len(b["input"]) for _, b, _ in server.seen), reverse=True) == calls
    assert [v[0] for v in reply.value] == [float(len(t)) for t in texts]
    assert (reply.usage.tokens_in, reply.usage.calls) == (sum(map(len, texts)), 1)


def test_long_texts_go_in_portions_by_their_bytes():
    texts = ("é" * 100_000, "b" * 100_000, "c", "d" * 400_000, "e")
    _, server = served(answer, Embed(texts))
    sizes = sorted([len(t) for t in b["input"]] for _, b, _ in server.seen)
    assert sizes == [[1], [1], [100_000, 100_000], [400_000]]


def test_a_server_that_takes_fewer_is_asked_with_half():
    def few(body):
        return 413 if len(body["input"]) > 32 else answer(body)

    texts = tuple("x" * (1 + i) for i in range(100))
    reply, server = served(few, Embed(texts))
    assert [v[0] for v in reply.value] == [float(len(t)) for t in texts]
    assert [len(b["input"]) for _, b, _ in server.seen] == [100, 50, 25, 25, 50, 25, 25]


def test_a_text_that_is_too_long_fails_with_what_the_others_cost():
    def strict(body):
        return 413 if len(body["input"]) > 1 or body["input"] == ["long"] else answer(body)

    failed, _ = served(strict, Embed(("a", "long")))
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.usage.tokens_in, failed.usage.calls) == ("too_long", 1, 1)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        ({"data": [{"index": 0, "embedding": [1.0]}]}, "1 results for 3 texts"),
        ({"data": [{"index": 0, "embedding": [1.0]}] * 3}, "results for 3 texts"),
        (
            {"data": [{"index": i, "embedding": [1.0] * (i + 1)} for i in range(3)]},
            "lengths [1, 2, 3]",
        ),
        ({"data": [{"index": i, "embedding": []} for i in range(3)]}, "finite numbers"),
        ({"data": [{"index": i, "embedding": [True]} for i in range(3)]}, "finite numbers"),
        ({"data": [{"index": i, "embedding": ["1"]} for i in range(3)]}, "finite numbers"),
        ({"data": [{"index": i} for i in range(3)]}, "finite numbers"),
        ({"data": [{"index": i, "embedding": [[1.0]]} for i in range(3)]}, "finite numbers"),
        ({"data": [{"index": i, "embedding": "AAA"} for i in range(3)]}, "base64"),
        ({"data": [{"index": i, "embedding": "A!AA"} for i in range(3)]}, "base64"),
        ({"data": [{"index": i, "embedding": packed([float("nan")])} for i in range(3)]}, "finite"),
        (
            json.dumps({"data": [{"index": i, "embedding": [float("inf")]} for i in range(3)]}),
            "finite",
        ),
        ({"data": None}, "0 results"),
        ("null", "0 results"),
    ],
)
def test_malformed_replies_are_failures(reply, words):
    failed, _ = served(reply)
    assert isinstance(failed, Failed)
    assert failed.kind == "malformed"
    assert words in str(failed)


def test_lengths_must_agree_across_portions():
    def drifting(body):
        wide = 3 if len(body["input"]) == 256 else 2
        rows = [{"index": i, "embedding": [1.0] * wide} for i in range(len(body["input"]))]
        return {"data": rows, "usage": {"prompt_tokens": 10, "total_tokens": 10}}

    failed, _ = served(drifting, Embed(tuple("x" * 300)))
    assert isinstance(failed, Failed)
    assert "lengths [2, 3]" in str(failed)
    assert (failed.kind, failed.usage.tokens_in) == ("malformed", 20)


@pytest.mark.parametrize(
    ("fault", "kind", "transient"),
    [
        (429, "rate_limited", True),
        (500, "crashed", True),
        (501, "unsupported", False),
        ("hang", "timeout", True),
    ],
)
def test_faults_have_their_kind_and_no_key(fault, kind, transient):
    key = Secret("sk-very-secret-123", "EMBED_KEY")
    failed, _ = served(fault, key=key, timeouts=Timeouts(1, 0.3, 0.3))
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.transient) == (kind, transient)
    assert failed.usage is None
    assert "very-secret" not in str(failed)


def test_usage_that_is_not_said_is_an_estimate():
    reply, _ = served({"data": [{"index": i, "embedding": [1.0]} for i in range(3)]})
    assert isinstance(reply, Reply)
    assert (reply.usage.tokens_in, reply.usage.estimated) == (2, True)


def test_no_texts_cost_nothing():
    reply, server = served(answer, Embed(()))
    assert (reply.value, reply.usage.calls, server.seen) == ((), 0, [])
