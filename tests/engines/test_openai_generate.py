"""Generation on every subset of what servers can do, against the scripted server."""

from __future__ import annotations

import asyncio
import gc
from dataclasses import replace

import pytest
from scripted_server import detokenize, distribution, render, serving, tokenize

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
    Reply,
    Sampling,
    ScoreSteps,
)
from cogitate.core.task import Attachment, Message
from cogitate.core.until import Contains
from cogitate.engines.openai import OpenAICompatible, Price, assumed, chatml

GREEDY = Sampling(temperature=0.0)
CHAT = Prompt.chat(Message("user", "Count, please."))
LETTERS = Prompt.chat(Message("user", "Write."))
RAW = Prompt.raw("1, 2, 3,")


def ask(requests, *, server=None, probed=False, emitted=None, **engine):
    """Serve one batch on a fresh server; returns outcomes and the server."""

    async def main():
        async with serving(**(server or {})) as running:
            made = OpenAICompatible(running.url, "toy", **engine)
            if probed:
                made = made.with_capabilities(await made.probe())
                running.seen.clear()
                running.reported.clear()
            try:
                emit = (
                    (lambda i, t: emitted.append((i, t)))
                    if emitted is not None
                    else (lambda i, t: None)
                )
                return list(await made.serve(requests, emit)), running
            finally:
                await made.close()

    return asyncio.run(main())


def one(request, **how):
    outcomes, server = ask([request], **how)
    if isinstance(outcomes[0], Failed):
        raise outcomes[0]
    return outcomes[0], server


def reply_of(request, **how) -> Reply:
    return one(request, **how)[0]


# ------------------------------------------------------------------- the same answer everywhere

SERVERS = {
    "vllm": {"dialect": "vllm"},
    "sglang": {"dialect": "sglang", "renders": False},
    "llamacpp": {"dialect": "llamacpp", "max_n": 4},
    "openai": {
        "dialect": "openai",
        "stops": "trimmed",
        "completions": False,
        "tokenizer": False,
        "ids_out": False,
        "prefill": "none",
    },
    "ollama": {
        "dialect": "ollama",
        "stops": "trimmed",
        "n": "ignored",
        "logprobs": "ignored",
        "completions": False,
        "tokenizer": False,
        "prefill": "implicit_echo",
        "stream_usage": False,
    },
    "bare": {
        "dialect": "generic",
        "stops": "trimmed",
        "n": "rejected",
        "logprobs": "rejected",
        "echo": "rejected",
        "constraints": "rejected",
        "completions": False,
        "tokenizer": False,
        "usage": "none",
        "embeddings": False,
    },
}


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("probed", [False, True])
def test_stop_strings_are_kept_and_reported_by_every_server(kind, probed):
    request = Generate(CHAT, seed=1, sampling=GREEDY, stop=("7,", "3, 4"), max_tokens=40)
    dialect = {} if kind == "bare" else {"dialect": kind}
    reply = reply_of(request, server=SERVERS[kind], probed=probed, **dialect)
    assert reply.value.text == "1, 2, 3, 4"
    assert (reply.value.finish, reply.value.stopped_by) == ("stop", "3, 4")
    assert reply.value.ids in ((), tuple(tokenize("1, 2, 3, 4")))
    assert bool(reply.value.ids) == (kind in ("vllm", "sglang", "llamacpp"))


@pytest.mark.parametrize("kind", SERVERS)
def test_endings_are_told_apart(kind):
    whole = reply_of(
        Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=60), server=SERVERS[kind], probed=True
    )
    assert (whole.value.text, whole.value.finish) == ("1, 2, 3, 4, 5, 6, 7, 8, 9", "eos")
    known = tuple(tokenize(whole.value.text)) if kind in ("vllm", "sglang", "llamacpp") else ()
    assert whole.value.ids == known, "the end of turn is no part of the ids"
    cut = reply_of(
        Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=5), server=SERVERS[kind], probed=True
    )
    assert (cut.value.text, cut.value.finish) == ("1, 2,", "limit")


@pytest.mark.parametrize("kind", SERVERS)
def test_siblings_are_the_same_with_and_without_n(kind):
    group = [Generate(LETTERS, seed=s, max_tokens=9, sampling=Sampling(1.0)) for s in (5, 6, 7)]
    outcomes, server = ask(group, server=SERVERS[kind], probed=True)
    alone = [reply_of(request, server=SERVERS["vllm"], dialect="vllm") for request in group]
    assert [o.value.text for o in outcomes] == [a.value.text for a in alone]
    assert len({o.value.text for o in outcomes}) == 3
    calls = {"vllm": 1, "sglang": 1, "llamacpp": 1, "openai": 1, "ollama": 3, "bare": 3}[kind]
    assert len(server.bodies) == calls
    if calls == 1:
        assert [o.index for o in outcomes] == [0, 1, 2]
        assert all(o.seed is not None for o in outcomes)


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp", "openai"])
def test_usage_of_siblings_sums_to_the_report(kind):
    group = [Generate(LETTERS, seed=s, max_tokens=3 + 7, sampling=Sampling(1.5)) for s in range(4)]
    outcomes, server = ask(group, server=SERVERS[kind], probed=True)
    assert len(server.reported) == 1
    assert sum(o.usage.tokens_in for o in outcomes) == server.reported[0][0]
    assert sum(o.usage.tokens_out for o in outcomes) == server.reported[0][1]
    assert [o.usage.calls for o in outcomes] == [1, 1, 1, 1]
    assert not any(o.usage.estimated for o in outcomes)
    assert [o.value.tokens for o in outcomes] == [o.usage.tokens_out for o in outcomes]


def test_groups_are_split_at_the_most_siblings_a_call():
    caps = replace(assumed("vllm"), max_n=3)
    group = [Generate(LETTERS, seed=s, max_tokens=4) for s in range(7)]
    outcomes, server = ask(group, server={"max_n": 3}, capabilities=caps)
    assert sorted(body.get("n", 1) for body in server.bodies) == [1, 3, 3]
    assert [o.index for o in outcomes] == [0, 1, 2, 0, 1, 2, None]
    assert all(isinstance(o, Reply) for o in outcomes)


def test_a_mixed_batch_keeps_its_order():
    batch = [
        Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=3),
        Embed(("a",)),
        Generate(CHAT, seed=2, sampling=GREEDY, max_tokens=3),
        ScoreSteps(CHAT, ("a",)),
        Generate(RAW, seed=3, sampling=GREEDY, max_tokens=2),
    ]
    outcomes, server = ask(batch, server={}, dialect="vllm")
    assert [type(o).__name__ for o in outcomes] == ["Reply", "Reply", "Reply", "Failed", "Reply"]
    assert outcomes[3].kind == "unserved"
    assert outcomes[0].value.text == outcomes[2].value.text == "1, "
    assert outcomes[4].value.text == " 4"
    assert len(server.bodies) == 2


def test_fewer_choices_than_siblings_fail_the_missing_ones():
    outcomes, _ = ask(
        [Generate(LETTERS, seed=s, max_tokens=4) for s in range(2)],
        server={"n": "ignored"},
        dialect="vllm",
    )
    assert isinstance(outcomes[0], Reply)
    assert outcomes[1].kind == "malformed"
    assert "1 of 2 choices" in str(outcomes[1])


# ------------------------------------------------------------------------------ continuations


@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp", "ollama"])
def test_a_begun_answer_is_continued_word_for_word(kind):
    request = Generate(CHAT.then("1, 2,"), seed=1, sampling=GREEDY, max_tokens=3)
    reply, server = one(request, server=SERVERS[kind], probed=True)
    assert reply.value.text == " 3,"
    if kind in ("vllm", "sglang"):
        body = server.bodies[-1]
        assert body["continue_final_message"] is True
        assert body["add_generation_prompt"] is False


def test_a_begun_answer_is_refused_by_name_where_it_cannot_be_continued():
    request = Generate(CHAT.then("1, 2,"), seed=1, max_tokens=3)
    for kind in ("openai", "bare"):
        dialect = {} if kind == "bare" else {"dialect": kind}
        outcomes, server = ask([request], server=SERVERS[kind], **dialect)
        assert outcomes[0].kind == "unsupported"
        assert "continuation of a begun assistant message" in str(outcomes[0])
        assert not server.bodies


def test_a_template_of_ours_continues_where_the_server_only_completes():
    caps = replace(assumed("generic"), completions=True)
    request = Generate(CHAT.then("1, 2,"), seed=1, sampling=GREEDY, max_tokens=3)
    reply, server = one(request, server={"dialect": "generic"}, capabilities=caps, template=chatml)
    assert server.bodies[0]["prompt"].endswith("<|im_start|>assistant\n1, 2,")
    assert reply.value.text == " 3,"


@pytest.mark.parametrize("kind", ["vllm", "llamacpp"])
def test_the_seam_is_continued_by_ids_not_by_text(kind):
    """`ab` and `c` were generated apart; as text they would merge into one token."""
    apart = [*tokenize("ab"), *tokenize("c")]
    assert tokenize("abc") != apart
    context = tokenize(render([{"role": "user", "content": "Write."}]))
    by_ids = LETTERS.then("ab", tokenize("ab")).then("c", tokenize("c"))
    at_once = LETTERS.then("abc", apart)
    by_text = LETTERS.then("ab").then("c")
    texts = {}
    for name, prompt in {"ids": by_ids, "at once": at_once, "text": by_text}.items():
        request = Generate(prompt, seed=1, sampling=GREEDY, max_tokens=6)
        reply, server = one(request, server=SERVERS[kind], dialect=kind)
        texts[name] = reply.value.text
        if name != "text":
            sent = server.bodies[-1]["prompt"]
            assert sent[-2:] == apart
    expected = [*context, *apart]
    for _ in range(6):
        scores = distribution(expected)
        expected.append(max(range(len(scores)), key=lambda i: scores[i]))
    assert texts["ids"] == detokenize(expected[len(context) + 2 :])
    assert texts["ids"] == texts["at once"] != texts["text"]


@pytest.mark.parametrize("kind", ["vllm", "llamacpp"])
def test_what_was_generated_can_be_continued_by_its_ids(kind):
    """A step and its continuation are the same tokens as one long call."""

    async def main():
        async with serving(**SERVERS[kind]) as server:
            engine = OpenAICompatible(server.url, "toy", dialect=kind)
            ask_one = lambda prompt, cap: Generate(prompt, seed=1, sampling=GREEDY, max_tokens=cap)  # noqa: E731
            (whole,) = await engine.serve([ask_one(LETTERS, 12)])
            (first,) = await engine.serve([ask_one(LETTERS, 5)])
            grown = LETTERS.then(first.value.text, first.value.ids)
            (rest,) = await engine.serve([ask_one(grown, 7)])
            await engine.close()
            return whole.value, first.value, rest.value

    whole, first, rest = asyncio.run(main())
    assert first.ids + rest.ids == whole.ids
    assert first.text + rest.text == whole.text


def test_raw_prompts_of_text_and_ids():
    for kind in ("vllm", "llamacpp"):
        for prompt in (RAW, Prompt.tokens(tokenize("1, 2, 3,")), Prompt.raw("1, 2,").then(" 3,")):
            reply = reply_of(
                Generate(prompt, seed=1, sampling=GREEDY, max_tokens=3),
                server=SERVERS[kind],
                dialect=kind,
            )
            assert reply.value.text == " 4,"
    outcomes, _ = ask([Generate(RAW, seed=1)], server=SERVERS["openai"], dialect="openai")
    assert outcomes[0].kind == "unsupported"
    assert "raw prompt" in str(outcomes[0])


# ---------------------------------------------------------------------------------- streaming


@pytest.mark.parametrize("kind", SERVERS)
def test_a_predicate_ends_the_stream(kind):
    emitted = []
    request = Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=60, until=(Contains("3"),))
    reply = reply_of(request, server=SERVERS[kind], probed=True, emitted=emitted)
    assert (reply.value.text, reply.value.finish) == ("1, 2, 3", "until")
    assert "".join(text for _, text in emitted) == "1, 2, 3"
    assert reply.usage.estimated
    assert 0 < reply.usage.tokens_out <= 60


def test_chunks_of_a_final_request_arrive_one_by_one_and_say_the_answer():
    for kind in ("vllm", "llamacpp", "bare"):
        emitted = []
        request = Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=60, stop=("4",), final=True)
        reply = reply_of(request, server=SERVERS[kind], probed=True, emitted=emitted)
        assert "".join(text for _, text in emitted) == reply.value.text == "1, 2, 3, 4"
        assert len(emitted) > 4


def test_streamed_siblings_go_to_their_own_places():
    emitted = []
    group = [
        Generate(LETTERS, seed=s, max_tokens=6, sampling=Sampling(1.0), final=True) for s in (5, 6)
    ]
    outcomes, server = ask([Embed(("x",)), *group], server={}, dialect="vllm", emitted=emitted)
    assert len(server.bodies) == 1
    for place in (1, 2):
        assert "".join(t for i, t in emitted if i == place) == outcomes[place].value.text
    assert sum(o.usage.tokens_out for o in outcomes[1:]) == server.reported[0][1]


def test_a_cut_stream_is_closed_and_charged_by_estimate():
    async def main():
        async with serving(dialect="generic", stops="trimmed", delay_s=0.02) as server:
            engine = OpenAICompatible(server.url, "toy")
            request = Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=500, stop=("3",))
            (reply,) = await engine.serve([request])
            for _ in range(100):
                if server.disconnects:
                    break
                await asyncio.sleep(0.01)
            await engine.close()
            return reply, server

    reply, server = asyncio.run(main())
    assert reply.value.text == "1, 2, 3"
    assert server.disconnects == 1, "the connection is closed, so that the server stops"
    assert "stop" not in server.bodies[0]
    assert reply.usage.estimated
    assert reply.usage.tokens_out == 7


# -------------------------------------------------------------------------------- needs


def test_logprobs_are_natural_and_cut_to_what_was_asked():
    for kind in ("vllm", "sglang", "llamacpp", "openai"):
        asked = Generate(LETTERS, seed=1, sampling=GREEDY, max_tokens=3, logprobs=2)
        value = reply_of(asked, server=SERVERS[kind], dialect=kind).value
        context = tokenize(render([{"role": "user", "content": "Write."}]))
        best = sorted(distribution(context))[::-1]
        assert value.logprobs[0] == pytest.approx(best[0])
        assert [t.logprob for t in value.top[0]] == pytest.approx(best[:2])
        assert len(value.logprobs) == len(value.top) == value.tokens
        chosen = reply_of(replace(asked, logprobs=0), server=SERVERS[kind], dialect=kind).value
        assert chosen.logprobs == value.logprobs
        assert chosen.top == ()
        assert (
            reply_of(replace(asked, logprobs=-1), server=SERVERS[kind], dialect=kind).value.logprobs
            == ()
        )


def test_logprobs_that_a_server_leaves_out_fail_instead_of_vanishing():
    asked = Generate(LETTERS, seed=1, max_tokens=3, logprobs=1)
    outcomes, _ = ask([asked], server={"logprobs": "ignored"}, dialect="vllm")
    assert outcomes[0].kind == "unsupported"
    assert outcomes[0].usage.tokens_out == 3, "what was paid is told"
    outcomes, server = ask([asked], server=SERVERS["bare"])
    assert outcomes[0].kind == "unsupported"
    assert not server.bodies, "a known lack is refused before anything is spent"
    outcomes, _ = ask([replace(asked, logprobs=21)], server={}, dialect="vllm")
    assert "at most 20" in str(outcomes[0])


CONSTRAINTS = {
    "json_schema": (JsonSchema('{"enum": ["zq7"]}'), '"zq7"'),
    "choice": (Choice(("yes", 'a "b"')), 'a "b"'),
    "grammar": (Grammar('root ::= "abc"'), "abc"),
    "regex": (Regex("ab|cd"), "cd"),
}


@pytest.mark.parametrize("constraint", CONSTRAINTS)
@pytest.mark.parametrize("kind", ["vllm", "sglang", "llamacpp", "openai", "bare"])
def test_constraints_are_enforced_or_refused_by_name(kind, constraint):
    asked, expected = CONSTRAINTS[constraint]
    request = Generate(CHAT, seed=1, max_tokens=20, constraint=asked)
    dialect = {} if kind == "bare" else {"dialect": kind}
    outcomes, server = ask([request], server=SERVERS[kind], **dialect)
    can = assumed(dialect.get("dialect", "generic")).constraints
    if constraint in can:
        assert outcomes[0].value.text == expected
    else:
        assert outcomes[0].kind == "unsupported"
        assert constraint in str(outcomes[0])
        assert not server.bodies


def test_an_ignored_constraint_is_caught_at_the_answer():
    for constraint in (Choice(("yes", "no")), JsonSchema("{}")):
        request = Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=60, constraint=constraint)
        outcomes, _ = ask([request], server={"constraints": "ignored"}, dialect="vllm")
        assert outcomes[0].kind == "malformed"
        assert "ignored the constraint" in str(outcomes[0])


def test_filters_that_a_server_does_not_know_are_refused():
    request = Generate(CHAT, seed=1, sampling=Sampling(top_k=5))
    outcomes, _ = ask([request], server=SERVERS["openai"], dialect="openai")
    assert "top_k" in str(outcomes[0])
    _, server = one(request, server={}, dialect="vllm")
    assert server.bodies[0]["top_k"] == 5


def test_defaults_of_the_model_do_not_leak_into_the_sampling():
    _, server = one(Generate(CHAT, seed=1), server={}, dialect="vllm")
    body = server.bodies[0]
    assert (body["top_k"], body["min_p"], body["top_p"]) == (-1, 0.0, 1.0)
    _, server = one(Generate(CHAT, seed=2**52 - 1), server=SERVERS["llamacpp"], dialect="llamacpp")
    body = server.bodies[0]
    assert (body["top_k"], body["min_p"]) == (0, 0.0)
    assert body["seed"] < 2**32 - 1, (
        "llama.cpp clamps to 32 bits, and the largest means a random seed"
    )


def test_attachments_go_by_url_or_are_refused():
    shown = Message("user", "What?", (Attachment("image/png", url="https://example.org/a.png"),))
    _, server = one(Generate(Prompt.chat(shown), seed=1, max_tokens=2), server={}, dialect="vllm")
    assert server.bodies[0]["messages"][0]["content"][0]["image_url"]["url"].endswith("a.png")
    hidden = Message("user", "What?", (Attachment("image/png", digest="ab"),))
    outcomes, _ = ask([Generate(Prompt.chat(hidden), seed=1)], server={}, dialect="vllm")
    assert outcomes[0].kind == "unsupported"


# ------------------------------------------------------------------------------ usage and money


@pytest.mark.parametrize("names", ["openai", "responses", "deepseek"])
def test_usage_is_read_under_all_its_names(names):
    price = Price(1.0, 4.0, 0.5)

    async def main():
        async with serving(usage=names, reasoning="reasoning_content") as server:
            engine = OpenAICompatible(server.url, "toy", dialect="vllm", price=price)
            request = Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=60)
            await engine.serve([request])
            (again,) = await engine.serve([request])
            await engine.close()
            return again, server

    again, server = asyncio.run(main())
    prompt, out = server.reported[-1]
    used = again.usage
    assert (used.tokens_in, used.tokens_out, used.tokens_cached) == (prompt, out, prompt - 1)
    assert used.tokens_reasoning == (0 if names == "deepseek" else 2)
    assert used.usd == pytest.approx((1 * 1.0 + (prompt - 1) * 0.5 + out * 4.0) / 1e6)
    assert again.value.reasoning == "hm"
    assert (used.flops, used.bytes_moved, used.seconds) == (None, None, 0.0)


def test_missing_usage_is_estimated_and_marked():
    for final in (False, True):
        request = Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=60, final=final)
        reply = reply_of(request, server=SERVERS["bare"])
        assert reply.usage.estimated
        assert reply.usage.tokens_in > 0
        assert 0 < reply.usage.tokens_out <= 60
        assert reply.usage.usd is None


def test_usage_is_never_above_the_ceiling():
    price = Price(2.0, 8.0)
    for kind in SERVERS:
        dialect = {} if kind == "bare" else {"dialect": kind}
        made = OpenAICompatible("http://127.0.0.1:1", "toy", price=price, **dialect)
        for request in (
            Generate(CHAT, seed=1, max_tokens=9, sampling=GREEDY),
            Generate(CHAT, seed=1, max_tokens=9, sampling=GREEDY, until=(Contains("2"),)),
            Embed(("abc", "é" * 20)),
        ):
            outcomes, _ = ask([request], server=SERVERS[kind], price=price, **dialect)
            most = made.ceiling(request)
            if isinstance(outcomes[0], Failed):
                assert kind == "bare"
                continue
            used = outcomes[0].usage
            assert used.tokens_in <= most.tokens_in
            assert used.tokens_out <= most.tokens_out
            assert used.calls == most.calls == 1
            assert used.usd is not None
            assert used.usd <= most.usd


def test_a_lying_count_is_charged_as_the_server_tells_it():
    request = Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=60)
    reply, server = one(request, server={"fault": "lying"}, dialect="vllm")
    assert reply.usage.tokens_out == server.reported[0][1] == 26 * 50


# --------------------------------------------------------------------------- the other requests


@pytest.mark.parametrize("kind", ["vllm", "llamacpp", "openai"])
def test_labels_are_scored_by_the_likeliest_first_tokens(kind):
    request = Loglikelihood(LETTERS, ("yes", "no"), labels=True)
    caps = replace(assumed(kind), top_logprobs=60)
    reply, server = one(request, server=SERVERS[kind], capabilities=caps)
    scores = distribution(tokenize(render([{"role": "user", "content": "Write."}])))
    expected = [scores[tokenize(label)[0]] for label in ("yes", "no")]
    assert [value.logprob for value in reply.value] == pytest.approx(expected)
    assert len(server.bodies) == 1
    assert reply.usage.tokens_out == 1


def test_a_label_outside_the_top_is_refused_by_name():
    request = Loglikelihood(CHAT, ("1", "zq7"), labels=True)
    outcomes, _ = ask([request], server={}, capabilities=replace(assumed("vllm"), top_logprobs=1))
    assert outcomes[0].kind == "unsupported"
    assert "'zq7' is not among the 1 likeliest" in str(outcomes[0])


def test_labels_that_begin_alike_are_refused():
    request = Loglikelihood(CHAT, ("no", "no!"), labels=True)
    outcomes, _ = ask([request], server={}, dialect="vllm")
    assert "begin with the same token" in str(outcomes[0])


@pytest.mark.parametrize("by_ids", [True, False])
def test_a_score_by_echo_is_the_sum_of_the_step_logprobs(by_ids):
    caps = assumed("vllm") if by_ids else replace(assumed("vllm"), tokenize=False, renders=False)
    texts = ("2, 3", "no")
    how = {"server": {}, "capabilities": caps}
    reply, server = one(Loglikelihood(Prompt.raw("1, "), texts), **how)
    for text, value in zip(texts, reply.value, strict=True):
        ids, total = tokenize("1, "), 0.0
        for token in tokenize(text):
            total += distribution(ids)[token]
            ids.append(token)
        assert value.logprob == pytest.approx(total)
        assert value.tokens == len(tokenize(text))
    assert isinstance(server.bodies[0]["prompt"], list) == by_ids
    assert reply.usage.tokens_in == sum(size for size, _ in server.reported)


def test_an_exact_score_of_a_chat_uses_the_rendered_ids():
    reply, server = one(Loglikelihood(CHAT, ("1, 2",)), server={}, dialect="vllm")
    assert server.bodies[0]["prompt"][-4:] == tokenize("1, 2")
    assert reply.value[0].logprob > -1.0


def test_an_exact_score_is_refused_where_there_is_no_echo():
    for kind in ("llamacpp", "openai", "ollama"):
        outcomes, server = ask([Loglikelihood(CHAT, ("1",))], server=SERVERS[kind], dialect=kind)
        assert outcomes[0].kind == "unsupported"
        assert "exact likelihood" in str(outcomes[0])
        assert not server.bodies
    outcomes, _ = ask([Loglikelihood(RAW, ("1",))], server={"echo": "ignored"}, dialect="vllm")
    assert outcomes[0].kind == "unsupported"


def test_embeddings_come_in_the_order_of_the_texts():
    reply = reply_of(Embed(("a", "bbb")), server={}, dialect="vllm")
    assert reply.value == ((1.0, 0.0, 0.5), (3.0, 1.0, 0.5))
    assert reply.usage.tokens_in == len(tokenize("a")) + len(tokenize("bbb"))
    outcomes, _ = ask([Embed(("a",))], server={"embeddings": False}, dialect="vllm")
    assert outcomes[0].kind == "unsupported"


# -------------------------------------------------------------------------------- cancellation


@pytest.mark.parametrize("final", [False, True])
def test_cancelling_closes_the_connection_and_leaks_nothing(final):
    async def main():
        server_flags = {"delay_s": 0.05} if final else {"fault": "hang"}
        async with serving(**server_flags) as server:
            engine = OpenAICompatible(server.url, "toy", dialect="vllm")
            before = len(asyncio.all_tasks())
            call = asyncio.create_task(
                engine.serve([Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=500, final=final)])
            )
            while not server.bodies:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            for _ in range(100):
                if server.disconnects:
                    break
                await asyncio.sleep(0.01)
            held = [session for session, _ in engine._client._sessions.values()]
            pooled = sum(map(len, held[0].connector._conns.values()))
            taken = len(held[0].connector._acquired)
            await engine.close()
            await engine.close()
            assert held[0].closed
            return server.disconnects, pooled, taken, len(asyncio.all_tasks()) - before

    disconnects, pooled, taken, tasks = asyncio.run(main())
    assert disconnects == 1
    assert (pooled, taken) == (0, 0)
    assert tasks <= 1, "at most the server's own task for the closed connection"
    gc.collect()


def test_an_engine_serves_several_event_loops_and_closes_with_each():
    """A session never outlives its loop, even where nobody called `close`."""
    sessions = []

    async def main(engine, server):
        (reply,) = await engine.serve([Generate(CHAT, seed=1, sampling=GREEDY, max_tokens=3)])
        sessions.extend(session for session, _ in engine._client._sessions.values())
        return reply.value.text

    async def both():
        async with serving() as server:
            engine = OpenAICompatible(server.url, "toy", dialect="vllm")
            for _ in range(2):
                text = await asyncio.to_thread(lambda: asyncio.run(main(engine, server)))
                assert text == "1, "

    asyncio.run(both())
    gc.collect()
    assert len(set(sessions)) == 2
    assert all(session.closed for session in sessions)


def test_connections_are_reused():
    async def main():
        async with serving() as server:
            engine = OpenAICompatible(server.url, "toy", dialect="vllm")
            for seed in range(5):
                await engine.serve([Generate(CHAT, seed=seed, max_tokens=3)])
            (session,) = [s for s, _ in engine._client._sessions.values()]
            pooled = sum(map(len, session.connector._conns.values()))
            await engine.close()
            peers = {headers["X-Peer"] for _, _, headers in server.seen}
            return pooled, len(peers)

    assert asyncio.run(main()) == (1, 1)


def test_a_server_that_drops_connections_after_a_stream_is_not_met_again_on_them():
    async def main():
        async with serving(drops_streams=True) as server:
            engine = OpenAICompatible(server.url, "toy", dialect="vllm")
            replies = []
            for seed in range(6):
                final = seed % 2 == 0
                replies += await engine.serve(
                    [Generate(CHAT, seed=seed, max_tokens=3, final=final)]
                )
            await engine.close()
            return replies

    assert all(isinstance(reply, Reply) for reply in asyncio.run(main()))


def test_the_driver_coalesces_siblings_into_one_call_and_the_ledger_sums_to_the_report():
    from cogitate.core.flow import gather
    from cogitate.core.usage import Budget
    from cogitate.drive import run_async

    async def ask_one(seed):
        return await Generate(LETTERS, seed=seed, max_tokens=8, sampling=Sampling(1.0))

    async def flow():
        return await gather(*(ask_one(seed) for seed in range(6)))

    async def main():
        async with serving() as server:
            engine = OpenAICompatible(server.url, "toy", dialect="vllm")
            made = await run_async(flow(), engine, budget=Budget(tokens_out=1000))
            await engine.close()
            return made, server

    made, server = asyncio.run(main())
    assert len(made.value) == 6
    assert [body.get("n") for body in server.bodies] == [6]
    assert (made.usage.tokens_in, made.usage.tokens_out) == server.reported[0]
    assert made.usage.calls == 6
