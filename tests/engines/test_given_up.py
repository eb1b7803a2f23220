"""Engines end an output whose confidence falls, where they see the likeliest tokens; others refuse."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
import scripted_server
from scripted_server import serving

from cogitate.core.errors import Failed
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Generate, Reply, Sampling
from cogitate.core.task import Message
from cogitate.core.until import GIVEN_UP, ConfidenceBelow
from cogitate.engines.functions import FunctionModel
from cogitate.engines.openai import OpenAICompatible
from cogitate.engines.weights import located
from cogitate.rules.confidence import group_means, token_confidence
from cogitate.testing import FakeEngine, Scripted, Simulated, simulated_tasks

((TASK, _),) = simulated_tasks(1, seed=3)
PROBLEM = Prompt.chat(*TASK.messages)


def serve(engine, *requests):
    async def main():
        try:
            return list(await engine.serve(requests))
        finally:
            await engine.close()

    return asyncio.run(main())


def means(completion, window, top):
    """The confidence of every full window of a whole output."""
    places = [[info.logprob for info in place] for place in completion.top]
    return group_means([v for p in places if (v := token_confidence(p, top)) is not None], window)


def offline(prompt=PROBLEM, **known):
    return Generate(prompt, **{"seed": 1, "max_tokens": 60, "logprobs": 5, **known})


@pytest.mark.parametrize(
    "engine", [FakeEngine, Simulated, lambda: Scripted(["a b c d e f g h"] * 2)]
)
def test_it_ends_where_the_window_of_the_whole_text_falls_below(engine):
    served = engine()
    whole = serve(served, offline())[0].value
    found = means(whole, 4, 5)
    threshold = sorted(found)[len(found) // 2]
    at = next(i for i, mean in enumerate(found) if mean < threshold)
    asked = offline(until=(ConfidenceBelow(threshold, window=4, top=5),))
    cut = serve(served, asked)[0].value
    assert (cut.finish, cut.stopped_by) == ("limit", GIVEN_UP)
    assert cut.tokens == 4 + at < whole.tokens
    assert whole.text.startswith(cut.text)
    assert cut.top == whole.top[: cut.tokens]
    lowest = offline(until=(ConfidenceBelow(min(found), window=4, top=5),))
    if not isinstance(served, Scripted):
        assert serve(served, lowest)[0].value == whole


@pytest.mark.parametrize("engine", [FakeEngine, Simulated, lambda: Scripted("a b")])
def test_tokens_that_were_not_asked_for_are_refused(engine):
    until = (ConfidenceBelow(1.0, top=5),)
    for logprobs in (-1, 0, 4):
        outcome = serve(engine(), offline(until=until, logprobs=logprobs))[0]
        assert isinstance(outcome, Failed)
        assert outcome.kind == "unsupported"


def test_a_function_cannot_say_what_it_thinks_of_its_tokens():
    asked = offline(Prompt.raw("?"), until=(ConfidenceBelow(1.0, top=5),), logprobs=-1)
    outcome = serve(FunctionModel(lambda prompt: "a"), asked)[0]
    assert (outcome.kind, "tokens" in outcome.reason) == ("unsupported", True)


def test_a_policy_in_doubt_is_less_sure_from_its_first_mistake_on():
    """Planted: only the log-probabilities change, and only after the mistake."""
    doubting, sure = Simulated(skill=0.3, doubt=0.9), Simulated(skill=0.3)
    lower = 0
    for seed in range(12):
        asked = offline(seed=seed, logprobs=5)
        unsure, calm = doubting.write(asked), sure.write(asked)
        assert unsure.text == calm.text
        changed = [i for i, (a, b) in enumerate(zip(unsure.top, calm.top, strict=True)) if a != b]
        wrong = not calm.text.endswith(Simulated(skill=1.0).write(asked).text[-4:])
        assert changed == list(range(changed[0], len(calm.top))) if changed else True
        assert bool(changed) or not wrong
        lower += bool(changed) and min(means(unsure, 6, 5)) < min(means(calm, 6, 5))
    assert lower >= 6
    assert "doubt=0.9" in doubting.fingerprint


def over_http(request, **server):
    async def main():
        async with serving(**server) as running:
            made = OpenAICompatible(running.url, "toy", dialect=server.get("dialect", "vllm"))
            try:
                return (await made.serve([request]))[0]
            finally:
                await made.close()

    return asyncio.run(main())


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llamacpp"])
def test_a_stream_is_closed_once_confidence_falls(dialect):
    letters = Prompt.chat(Message("user", "Write."))
    asked = Generate(letters, seed=1, sampling=Sampling(temperature=1.0), max_tokens=40, logprobs=3)
    whole = over_http(asked, dialect=dialect).value
    found = means(whole, 4, 3)
    threshold = sorted(found)[len(found) // 2]
    at = next(i for i, mean in enumerate(found) if mean < threshold)
    request = replace(asked, until=(ConfidenceBelow(threshold, window=4, top=3),))
    reply = over_http(request, dialect=dialect)
    assert (reply.value.finish, reply.value.stopped_by) == ("limit", GIVEN_UP)
    assert len(reply.value.top) == 4 + at < len(whole.top)
    assert whole.text.startswith(reply.value.text)
    assert reply.usage.estimated


def test_siblings_are_asked_for_one_by_one_so_that_each_can_end():
    asked = Generate(
        Prompt.chat(Message("user", "Write.")),
        seed=1,
        sampling=Sampling(temperature=1.0),
        max_tokens=40,
        logprobs=3,
    )
    pair = [asked, replace(asked, seed=2)]

    async def main(requests):
        async with serving(dialect="vllm") as running:
            made = OpenAICompatible(running.url, "toy", dialect="vllm")
            try:
                return await made.serve(requests), running.bodies
            finally:
                await made.close()

    whole, together = asyncio.run(main(pair))
    assert len(together) == 1
    until = (ConfidenceBelow(min(means(whole[0].value, 4, 3)) + 1e-6, window=4, top=3),)
    cut, apart = asyncio.run(main([replace(request, until=until) for request in pair]))
    assert len(apart) == 2
    assert cut[0].value.stopped_by == GIVEN_UP
    assert cut[0].usage.tokens_out < 40


def test_a_server_without_likeliest_tokens_fails_instead_of_never_stopping():
    until = (ConfidenceBelow(1.0, top=3),)
    asked = Generate(Prompt.chat(Message("user", "Write.")), seed=1, max_tokens=4, until=until)
    for request, server in (
        (replace(asked, logprobs=3), {"logprobs": "ignored"}),
        (replace(asked, logprobs=2), {}),
    ):
        outcome = over_http(request, **server)
        assert isinstance(outcome, Failed)
        assert outcome.kind == "unsupported"


def test_likeliest_tokens_that_are_left_out_fail_too(monkeypatch):
    """The server reports what it chose, and not what else it might have said."""

    def chosen_only(made, k):
        return {"content": [{"token": "x", "logprob": -1.0, "top_logprobs": []} for _ in made.ids]}

    monkeypatch.setattr(scripted_server, "_chat_logprobs", chosen_only)
    monkeypatch.setattr(
        scripted_server,
        "_old_logprobs",
        lambda made, k, prompt: {"tokens": ["x"], "token_logprobs": [-1.0], "top_logprobs": []},
    )
    asked = Generate(Prompt.chat(Message("user", "Write.")), seed=1, max_tokens=4, logprobs=3)
    assert isinstance(over_http(asked), Reply)
    outcome = over_http(replace(asked, until=(ConfidenceBelow(1.0, top=3),)))
    assert isinstance(outcome, Failed)
    assert outcome.kind == "unsupported"


@pytest.mark.skipif(located("smollm2") is None, reason="`cogitate models pull smollm2` first")
def test_llamacpp_ends_where_its_own_whole_text_falls_below():
    pytest.importorskip("xllamacpp")
    from cogitate.engines.llamacpp import LlamaCpp

    asked = Generate(
        Prompt.chat(Message("user", "Tell me a story of a fox.")),
        seed=1,
        sampling=Sampling(temperature=0.0),
        max_tokens=40,
        logprobs=5,
    )

    async def both():
        engine = LlamaCpp(located("smollm2"), slots=2, context=1024)
        try:
            (whole,) = await engine.serve([asked])
            found = means(whole.value, 8, 5)
            threshold = sorted(found)[len(found) // 2]
            until = (ConfidenceBelow(threshold, window=8, top=5),)
            watched = replace(asked, until=until)
            outcomes = await engine.serve(
                [watched, replace(watched, logprobs=0), replace(watched, seed=2)]
            )
            return whole, found, threshold, outcomes
        finally:
            await engine.close()

    whole, found, threshold, (cut, refused, sibling) = asyncio.run(both())
    at = next(i for i, mean in enumerate(found) if mean < threshold)
    assert isinstance(cut, Reply)
    assert (cut.value.finish, cut.value.stopped_by) == ("limit", GIVEN_UP)
    assert len(cut.value.top) == 8 + at < len(whole.value.top)
    assert cut.usage.tokens_out < whole.usage.tokens_out
    assert (cut.index, sibling.index) == (None, None)  # a call for each, so that each can end
    assert (refused.kind, type(refused)) == ("unsupported", Failed)
