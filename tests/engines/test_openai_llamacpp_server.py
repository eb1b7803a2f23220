"""The HTTP engine against a real server: the one that xllamacpp opens on loopback, with SmolLM2.

Run with `COGITATE_TEST_GGUF=PATH pytest -m slow tests/engines/test_openai_llamacpp_server.py`, or after
`cogitate models pull smollm2`.
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
from pathlib import Path

import pytest

from cogitate.core.errors import Failed
from cogitate.core.prompt import Prompt
from cogitate.core.requests import (
    Choice,
    Embed,
    Generate,
    Grammar,
    JsonSchema,
    Loglikelihood,
    Regex,
    Sampling,
)
from cogitate.core.task import Message
from cogitate.core.until import Contains
from cogitate.engines.openai import OpenAICompatible

xllamacpp = pytest.importorskip("xllamacpp")
pytestmark = pytest.mark.slow

GREEDY = Sampling(temperature=0.0)
WARM = Sampling(temperature=1.2)
CHAT = Prompt.chat(Message("user", "Count from one to nine in digits."))
BEGUN = CHAT.then("1, 2, 3,")
SLOTS = 4


def weights() -> Path | None:
    """The model file: named by the environment, else where `cogitate models pull` puts it."""
    if named := os.environ.get("COGITATE_TEST_GGUF"):
        return Path(named)
    from platformdirs import user_cache_dir

    found = sorted((Path(user_cache_dir("cogitate")) / "models").rglob("*.gguf"))
    return next((path for path in found if "smollm2" in path.name.lower()), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def address():
    path = weights()
    if path is None or not path.is_file():
        pytest.skip("no SmolLM2 file: set COGITATE_TEST_GGUF or run `cogitate models pull smollm2`")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx, params.n_parallel, params.kv_unified = 4096, SLOTS, True
    params.port, params.n_gpu_layers, params.verbosity = free_port(), 0, 0
    params.cpuparams.n_threads = 1  # two threads spin on a busy machine
    server = xllamacpp.Server(params)
    yield server.listening_address
    del server


@pytest.fixture(scope="module")
def caps(address):
    async def main():
        engine = OpenAICompatible(address, "smollm2")
        try:
            return await engine.probe()
        finally:
            await engine.close()

    return asyncio.run(main())


@pytest.fixture
def ask(address, caps):
    def serve(*batch, emit=lambda index, text: None):
        async def main():
            engine = OpenAICompatible(address, "smollm2", capabilities=caps)
            try:
                return list(await engine.serve(batch, emit))
            finally:
                await engine.close()

        return asyncio.run(main())

    return serve


def test_the_probe_finds_what_this_server_can_do(caps):
    print(f"\n{caps}")
    assert (caps.dialect, caps.probed) == ("llamacpp", True)
    assert (caps.n, caps.max_n) == (True, SLOTS)
    assert caps.logprobs
    assert caps.label_scoring
    assert not caps.prompt_logprobs
    assert caps.token_ids_in
    assert caps.token_ids_out
    assert caps.tokenize
    assert caps.renders
    assert caps.prefill == "template"
    assert caps.stop_reported
    assert caps.constraints == ("json_schema", "choice", "grammar")
    assert caps.cached_tokens_reported
    assert not caps.embeddings
    assert caps.max_context == 4096


def test_a_begun_answer_is_continued_to_the_stop_string_and_keeps_it(ask):
    (reply,) = ask(Generate(BEGUN, seed=1, sampling=GREEDY, max_tokens=30, stop=("zzz", " 6")))
    assert reply.value.text == " 4, 5, 6"
    assert (reply.value.finish, reply.value.stopped_by) == ("stop", " 6")
    assert reply.value.tokens == len(reply.value.ids) == reply.usage.tokens_out
    assert not reply.usage.estimated


def test_a_step_by_ids_is_the_same_as_one_long_call(ask):
    (whole,) = ask(Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=40))
    (first,) = ask(Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=17))
    grown = CHAT.then(first.value.text, first.value.ids)
    (rest,) = ask(Generate(grown, seed=1, sampling=GREEDY, max_tokens=40 - 17))
    assert first.value.ids + rest.value.ids == whole.value.ids
    assert first.value.text + rest.value.text == whole.value.text
    assert rest.usage.tokens_in == first.usage.tokens_in + 17
    assert rest.usage.tokens_cached > first.usage.tokens_in / 2


def test_a_seam_inside_a_word_is_kept_by_ids(ask, address, caps):
    """Two ids that, as text, would be tokenised as one other token."""

    async def tokens(text):
        engine = OpenAICompatible(address, "smollm2", capabilities=caps)
        try:
            return [i for i, _ in await engine._generator.prompts.tokenize(text)]
        finally:
            await engine.close()

    apart = asyncio.run(tokens("appl")) + asyncio.run(tokens("es"))
    assert asyncio.run(tokens("apples")) != apart
    (by_ids,) = ask(Generate(CHAT.then("apples", apart), seed=1, sampling=GREEDY, max_tokens=4))
    (by_text,) = ask(Generate(CHAT.then("apples"), seed=1, sampling=GREEDY, max_tokens=4))
    assert by_ids.usage.tokens_in - by_text.usage.tokens_in == len(apart) - len(
        asyncio.run(tokens("apples"))
    )


def test_siblings_come_from_one_call_with_their_own_seeds_and_one_prompt(ask):
    group = [Generate(CHAT, seed=100 + i, sampling=WARM, max_tokens=12) for i in range(SLOTS)]
    replies = ask(*group)
    assert [reply.index for reply in replies] == [0, 1, 2, 3]
    assert [reply.seed for reply in replies] == [100, 101, 102, 103]
    assert len({reply.value.text for reply in replies}) > 1
    assert replies[0].usage.tokens_in > 0
    assert [reply.usage.tokens_in for reply in replies[1:]] == [0, 0, 0]
    assert all(
        reply.usage.tokens_out == len(reply.value.ids) or reply.value.finish == "eos"
        for reply in replies
    )


def test_more_siblings_than_slots_are_split(ask):
    replies = ask(*(Generate(CHAT, seed=i, sampling=WARM, max_tokens=4) for i in range(SLOTS + 2)))
    assert [reply.index for reply in replies] == [0, 1, 2, 3, 0, 1]


def test_a_stream_is_cut_by_a_predicate_and_told_in_chunks(ask):
    heard = []
    request = Generate(
        BEGUN, seed=1, sampling=GREEDY, max_tokens=200, until=(Contains("6"),), final=True
    )
    (reply,) = ask(request, emit=lambda _, text: heard.append(text))
    assert (reply.value.text, reply.value.finish) == (" 4, 5, 6", "until")
    assert "".join(heard) == reply.value.text
    assert len(heard) > 3
    assert reply.usage.estimated
    assert 8 <= reply.usage.tokens_out < 20


def test_a_streamed_stop_string_is_kept(ask):
    heard = []
    request = Generate(BEGUN, seed=1, sampling=GREEDY, max_tokens=30, stop=(" 6",), final=True)
    (reply,) = ask(request, emit=lambda _, text: heard.append(text))
    assert reply.value.text == "".join(heard) == " 4, 5, 6"
    assert reply.value.stopped_by == " 6"
    assert not reply.usage.estimated


def test_logprobs_are_natural(ask):
    (reply,) = ask(Generate(BEGUN, seed=1, sampling=GREEDY, max_tokens=5, logprobs=3))
    assert len(reply.value.logprobs) == 5
    assert all(-1 < value <= 0 for value in reply.value.logprobs)
    for chosen, top in zip(reply.value.logprobs, reply.value.top, strict=True):
        assert len(top) == 3
        assert top[0].logprob == pytest.approx(chosen)


def test_constraints_bind_and_a_regular_expression_is_refused(ask):
    ways = [
        (
            JsonSchema(
                '{"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}'
            ),
            "{",
        ),
        (Choice(("seventeen", "zq7")), ("seventeen", "zq7")),
        (Grammar('root ::= "k" [0-9]'), "k"),
    ]
    for constraint, begins in ways:
        (reply,) = ask(
            Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=60, constraint=constraint)
        )
        assert reply.value.text.startswith(begins), reply
    (refused,) = ask(Generate(CHAT, seed=1, constraint=Regex("a+")))
    assert isinstance(refused, Failed)
    assert refused.kind == "unsupported"


def test_labels_are_scored_and_exact_scores_refused(ask):
    labels, exact = ask(
        Loglikelihood(BEGUN, (" 4", " 7"), labels=True), Loglikelihood(BEGUN, (" 4",))
    )
    if isinstance(
        labels, Failed
    ):  # " 4" and " 7" begin with the same blank token in this tokeniser
        assert "same token" in str(labels)
    asked = Prompt.chat(Message("user", "Is fire hot? Answer Yes or No."))
    (reply,) = ask(Loglikelihood(asked, ("Yes", "No"), labels=True))
    assert all(-20 < value.logprob < 0 for value in reply.value)
    assert math.exp(reply.value[0].logprob) + math.exp(reply.value[1].logprob) <= 1
    assert isinstance(exact, Failed)
    assert exact.kind == "unsupported"


def test_the_likeliest_label_agrees_with_the_logprobs_of_generation(ask):
    asked = Prompt.chat(Message("user", "Is fire hot? Answer Yes or No."))
    (made,) = ask(Generate(asked, seed=1, sampling=GREEDY, max_tokens=1, logprobs=20))
    by_token = {info.token: info.logprob for info in made.value.top[0]}
    (scored,) = ask(Loglikelihood(asked, ("Yes", "No"), labels=True))
    for label, value in zip(("Yes", "No"), scored.value, strict=True):
        if label in by_token:
            assert value.logprob == pytest.approx(by_token[label], abs=0.05)


def test_usage_stays_below_the_ceiling(ask, address, caps):
    engine = OpenAICompatible(address, "smollm2", capabilities=caps)
    for prompt in (CHAT, BEGUN, Prompt.raw("Once upon a time")):
        request = Generate(prompt, seed=1, max_tokens=8)
        (reply,) = ask(request)
        most = engine.ceiling(request)
        assert reply.usage.tokens_in <= most.tokens_in
        assert reply.usage.tokens_out <= most.tokens_out


def test_what_is_wrong_is_said_in_one_sentence(ask, address):
    (long,) = ask(Generate(Prompt.raw("word " * 6000), seed=1))
    assert (long.kind, long.transient) == ("too_long", False)
    (vectors,) = ask(Embed(("a",)))
    assert vectors.kind == "unsupported"
    (grammar,) = ask(Generate(CHAT, seed=1, constraint=Grammar('root ::= "open')))
    assert isinstance(grammar, Failed)
    assert "grammar" in str(grammar)


def test_cancelling_frees_the_slot(address, caps):
    async def main():
        engine = OpenAICompatible(address, "smollm2", capabilities=caps)
        long = Generate(CHAT, seed=1, sampling=WARM, max_tokens=3000)
        call = asyncio.create_task(engine.serve([long]))
        await asyncio.sleep(0.5)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        slots = [{"is_processing": True}]
        for _ in range(6):
            await asyncio.sleep(0.5)
            slots = await engine._client.get("/slots")
            if not any(slot["is_processing"] for slot in slots):
                break
        await engine.close()
        return slots

    assert not any(slot["is_processing"] for slot in asyncio.run(main()))
