"""The probe finds what a server can do, and catches what it silently ignores."""

from __future__ import annotations

import asyncio
from dataclasses import fields, replace

import pytest
from scripted_server import serving

from cogitate.core.errors import Failed
from cogitate.engines.openai import Capabilities, OpenAICompatible, assumed


def probe(*, believed="generic", model="toy", **flags) -> tuple[Capabilities, int]:
    async def main():
        async with serving(**flags) as server:
            engine = OpenAICompatible(server.url, model, dialect=believed)
            try:
                return await engine.probe(), len([1 for path, *_ in server.seen])
            finally:
                await engine.close()

    return asyncio.run(main())


@pytest.mark.parametrize("dialect", ["vllm", "sglang"])
def test_a_full_server_is_found_as_it_is_assumed(dialect):
    flags = {"dialect": dialect, "renders": dialect == "vllm"}
    found, calls = probe(**flags)
    assert found.dialect == dialect, "known by what it says of itself"
    assert found.probed
    told = {
        "version",
        "probed",
        "models",
        "max_context",
        "findings",
        "embeddings",
        "cached_tokens_reported",
    }
    same = {
        f.name: getattr(assumed(dialect), f.name)
        for f in fields(Capabilities)
        if f.name not in told
    }
    assert {name: getattr(found, name) for name in same} == same
    assert found.embeddings
    assert found.cached_tokens_reported
    assert (found.models, found.max_context) == (("toy",), 100_000)
    assert found.findings == ()
    assert calls <= 24


def test_a_llamacpp_server_is_spoken_to_in_its_own_words():
    found, _ = probe(dialect="llamacpp", max_n=4, echo="ignored")
    assert (found.dialect, found.version, found.max_n, found.n) == ("llamacpp", "b1", 4, True)
    assert found.prefill == "template"
    assert found.token_ids_in
    assert found.token_ids_out
    assert found.stop_reported
    assert not found.prompt_logprobs
    assert found.constraints == ("json_schema", "choice", "grammar")
    assert found.cached_tokens_reported


NO_LOGPROBS = {
    "logprobs": False,
    "label_scoring": False,
    "top_logprobs": 0,
    "prompt_logprobs": False,
}
LACKS = [
    ({"n": "rejected"}, {"n": False, "max_n": 1}, ""),
    ({"n": "ignored"}, {"n": False, "max_n": 1}, "n was accepted and ignored"),
    ({"logprobs": "rejected"}, NO_LOGPROBS, ""),
    ({"logprobs": "ignored"}, NO_LOGPROBS, "silently left out"),
    ({"echo": "rejected"}, {"prompt_logprobs": False}, ""),
    ({"echo": "ignored"}, {"prompt_logprobs": False}, "echo was accepted and ignored"),
    (
        {"completions": False},
        {"completions": False, "token_ids_in": False, "prompt_logprobs": False},
        "",
    ),
    ({"ids": False}, {"token_ids_in": False}, ""),
    ({"ids_out": False}, {"token_ids_out": False}, ""),
    ({"tokenizer": False}, {"tokenize": False, "renders": False}, ""),
    ({"renders": False}, {"renders": False, "tokenize": True}, ""),
    ({"prefill": "none"}, {"prefill": "none"}, ""),
    ({"prefill": "implicit_echo"}, {"prefill": "implicit_echo"}, ""),
    ({"stops": "trimmed"}, {"stop_reported": False}, ""),
    ({"constraints": "rejected"}, {"constraints": ()}, ""),
    ({"constraints": "ignored"}, {"constraints": ()}, "regex was accepted and silently ignored"),
    ({"cached": False}, {"cached_tokens_reported": False}, ""),
    ({"usage": "none"}, {"usage_in_stream": False, "token_ids_in": False}, "usage is not reported"),
    ({"stream_usage": False}, {"usage_in_stream": False}, ""),
    ({"embeddings": False}, {"embeddings": False}, ""),
]


@pytest.mark.parametrize(("flags", "known", "finding"), LACKS, ids=[str(row[0]) for row in LACKS])
def test_each_lack_is_found_and_nothing_else(flags, known, finding):
    found, _ = probe(**flags)
    whole, _ = probe()
    assert {name: getattr(found, name) for name in known} == known
    assert any(finding in text for text in found.findings) == bool(finding) or not finding
    assert finding in str(found)
    dependent = {"ids": "token_ids_in", "tokenizer": "token_ids_in"}
    rest = {
        f.name
        for f in fields(Capabilities)
        if f.name not in {*known, "findings", "usage_in_stream", "cached_tokens_reported"}
        and f.name not in {dependent.get(name) for name in flags}
    }
    assert {n: getattr(found, n) for n in rest} == {n: getattr(whole, n) for n in rest}


@pytest.mark.parametrize("dialect", ["openai", "ollama", "generic"])
def test_chat_only_servers(dialect):
    flags = {
        "dialect": dialect,
        "completions": False,
        "tokenizer": False,
        "stops": "trimmed",
        "prefill": "implicit" if dialect == "ollama" else "none",
    }
    found, _ = probe(**flags)
    assert found.dialect == dialect
    assert not found.completions
    assert found.constraints == ("json_schema",)
    assert found.prefill == flags["prefill"]
    assert found.n
    assert found.logprobs


def test_a_missing_model_lists_what_there_is():
    with pytest.raises(Failed, match=r"no model 'nope'; it lists toy") as failure:
        probe(model="nope")
    assert failure.value.kind == "missing"


def test_a_dead_server_ends_the_probe():
    async def main():
        engine = OpenAICompatible("http://127.0.0.1:1", "toy")
        try:
            return await engine.probe()
        finally:
            await engine.close()

    with pytest.raises(Failed, match="cannot be reached"):
        asyncio.run(main())
    with pytest.raises(Failed, match="wants a key"):
        probe(key="x")


def test_a_cached_record_spares_the_probe():
    found, _ = probe()
    again = Capabilities.from_dict(found.as_dict())
    assert again == found
    assert replace(again, n=False) != found
