from __future__ import annotations

import asyncio
import dataclasses
import json

import pytest

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.execute import Execute
from cogitate.core.kinds import REQUESTS
from cogitate.core.prompt import Prompt
from cogitate.core.requests import (
    Call,
    Choice,
    Completion,
    Embed,
    Generate,
    Grade,
    Grammar,
    JsonSchema,
    Loglikelihood,
    Reply,
    Sampling,
    ScoreSteps,
)
from cogitate.core.retrieve import Retrieve
from cogitate.core.task import Message
from cogitate.core.until import Contains
from cogitate.core.usage import UNITS
from cogitate.testing import FakeEngine, Rates, Scripted

ASKED = Prompt.chat(Message("system", "Think."), Message("user", "How many apples? Œuf 🥚"))
GENERATE = Generate(ASKED, seed=7, logprobs=2)
ONE_OF_EACH = [
    GENERATE,
    Generate(ASKED, seed=8, max_tokens=5),
    Generate(ASKED.then("Step 1: x.\n\n", (1, 2, 3)), seed=8, stop=("\n\n",)),
    Generate(Prompt.tokens([1, 2, 3]), seed=1),
    Generate(ASKED, seed=9, constraint=Choice(("yes", "no"))),
    Loglikelihood(ASKED, ("Yes", "No"), labels=True),
    Loglikelihood(ASKED, ("a long continuation", "b")),
    ScoreSteps(ASKED, ("one", "two", "three")),
    Embed(("some words", "", "more words")),
    Grade((" Four", "four", None, "5", ""), "text", reference="FOUR"),
    Call("f", (1, "two")),
    Execute("print(1)", inputs=("1", "2", "3")),
    Execute("def f(): pass", harness="program.f()"),
    Retrieve("how apples grow", 2),
]


def now(coroutine):
    """Drive without an event loop: fails the test if the engine waits for anything."""
    with pytest.raises(StopIteration) as stop:
        coroutine.send(None)
    return stop.value.value


def values(engine, batch):
    return [reply.value for reply in now(engine.serve(batch))]


def test_serves_every_kind_without_an_event_loop():
    engine = FakeEngine(record=True)
    replies = now(engine.serve(ONE_OF_EACH))
    assert {type(r) for r in ONE_OF_EACH} == set(REQUESTS.values()) == engine.serves
    for request, reply in zip(ONE_OF_EACH, replies, strict=True):
        assert isinstance(reply, Reply), request
        assert request.decode(json.loads(json.dumps(request.encode(reply.value)))) == reply.value
    assert engine.served == [r.key() for r in ONE_OF_EACH]
    assert engine.calls["Generate"] == engine.peak["Generate"] == 5


def test_replies_do_not_depend_on_the_schedule():
    whole = values(FakeEngine(), ONE_OF_EACH)
    engine = FakeEngine()
    backwards = [values(engine, [request])[0] for request in reversed(ONE_OF_EACH)]
    assert whole == backwards[::-1]


@pytest.mark.parametrize("latency_s", [0.0, 0.0005])
def test_usage_is_never_above_the_ceiling(latency_s):
    rates = Rates(flops=2.0, bytes_moved=3.0, usd=1e-6)
    engine = FakeEngine(rates=rates, latency_s=latency_s)
    replies = asyncio.run(engine.serve(ONE_OF_EACH))
    for request, reply in zip(ONE_OF_EACH, replies, strict=True):
        ceiling = engine.ceiling(request)
        for unit in UNITS:
            assert getattr(reply.usage, unit) <= getattr(ceiling, unit)
        assert reply.usage.calls == (0 if isinstance(request, Grade | Execute) else 1)
        if isinstance(request, Generate):
            assert reply.usage.tokens_out == reply.value.tokens > 0
            assert reply.usage.usd > 0


def test_a_cut_text_is_a_prefix_of_the_full_one():
    full = values(FakeEngine(), [GENERATE])[0]
    assert full.finish == "eos"
    for cap in range(1, full.tokens):
        cut = values(FakeEngine(), [dataclasses.replace(GENERATE, max_tokens=cap)])[0]
        assert cut.finish == "limit"
        assert cut.tokens == cap == len(cut.ids) == len(cut.logprobs) == len(cut.top)
        assert full.text.startswith(cut.text)
        assert full.logprobs[:cap] == cut.logprobs
    exact = values(FakeEngine(), [dataclasses.replace(GENERATE, max_tokens=full.tokens)])[0]
    assert exact.finish == "eos"


def test_text_depends_on_seed_prompt_and_sampling():
    others = [
        GENERATE,
        dataclasses.replace(GENERATE, seed=8),
        dataclasses.replace(GENERATE, prompt=ASKED.then("So ")),
        dataclasses.replace(GENERATE, sampling=Sampling(temperature=1.0)),
    ]
    assert len({completion.text for completion in values(FakeEngine(), others)}) == 4


def test_stops_are_kept_and_the_first_to_end_wins():
    engine = Scripted("alpha beta\n\ngamma")
    asked = dataclasses.replace(GENERATE, stop=("gamma", "\n\n", "eta\n\n"))
    completion = now(engine.serve([asked]))[0].value
    assert (completion.text, completion.finish) == ("alpha beta\n\n", "stop")
    assert completion.stopped_by in ("\n\n", "eta\n\n")
    inside = now(engine.serve([dataclasses.replace(GENERATE, stop=("lph",))]))[0].value
    assert (inside.text, inside.stopped_by, inside.tokens) == ("alph", "lph", 1)
    until = now(engine.serve([dataclasses.replace(GENERATE, until=(Contains("bet"),))]))[0].value
    assert (until.text, until.finish) == ("alpha beta", "until")


def test_steps_end_and_votes_have_something_to_decide():
    engine = FakeEngine()
    for seed in range(20):
        prompt, finish, steps = ASKED, "stop", 0
        while finish == "stop":
            completion = values(engine, [Generate(prompt, seed=seed, stop=("\n\n",))])[0]
            prompt, finish, steps = prompt.then(completion.text), completion.finish, steps + 1
        assert finish == "eos"
        assert 2 <= steps <= 4
        assert "####" in prompt.prefill
    finals = [
        c.text.split()[-1] for c in values(engine, [Generate(ASKED, seed=s) for s in range(99)])
    ]
    top = max(finals.count(answer) for answer in finals)
    assert 40 < top < 80
    named = values(FakeEngine(answers=("A", "B")), [Generate(ASKED, seed=s) for s in range(9)])
    assert {c.text.split()[-1] for c in named} == {"A", "B"}


def test_constraints_hold_or_are_refused():
    schema = {
        "type": "object",
        "properties": {
            "score": {"type": "integer", "minimum": 1, "maximum": 3},
            "label": {"enum": ["x", "y"]},
            "tags": {"type": "array", "items": {"type": "string"}, "minItems": 3},
            "sure": {"type": "boolean"},
        },
    }
    asked = dataclasses.replace(GENERATE, constraint=JsonSchema(json.dumps(schema)))
    seen = [
        json.loads(values(FakeEngine(), [dataclasses.replace(asked, seed=s)])[0].text)
        for s in range(9)
    ]
    assert {found["score"] for found in seen} == {1, 2, 3}
    assert all(found["label"] in "xy" and len(found["tags"]) == 3 for found in seen)
    refused = [
        (Grammar("root ::= x"), "unsupported"),
        (JsonSchema('{"$ref": "#/x"}'), "unsupported"),
        (JsonSchema("{"), "malformed"),
    ]
    for constraint, kind in refused:
        reply = now(FakeEngine().serve([dataclasses.replace(GENERATE, constraint=constraint)]))[0]
        assert isinstance(reply, Failed)
        assert reply.kind == kind


def test_top_alternatives_are_probabilities():
    import math

    completion = values(FakeEngine(), [dataclasses.replace(GENERATE, logprobs=5)])[0]
    for chosen, top in zip(completion.logprobs, completion.top, strict=True):
        assert len(top) == 5
        assert chosen in [info.logprob for info in top]
        assert sum(math.exp(info.logprob) for info in top) <= 1 + 1e-9
        assert list(top) == sorted(top, key=lambda info: -info.logprob)
    plain = values(FakeEngine(), [dataclasses.replace(GENERATE, logprobs=-1)])[0]
    assert plain.logprobs == plain.top == ()


def test_grades_partition_and_abstain():
    graded = values(FakeEngine(), [ONE_OF_EACH[9]])[0]
    assert graded.classes == (0, 0, None, 3, None)
    assert graded.correct == (True, True, None, False, None)


def test_scores_and_vectors_are_plausible():
    labels, long, steps, vectors = values(FakeEngine(), [*ONE_OF_EACH[5:9]])
    import math

    assert sum(math.exp(likelihood.logprob) for likelihood in labels) == pytest.approx(0.98)
    assert long[0].tokens > long[1].tokens
    assert len(steps) == 3
    assert all(0 < score < 1 for score in steps)
    first = values(FakeEngine(), [ScoreSteps(ASKED, ("one",))])[0]
    assert first == steps[:1]
    near = sum(a * b for a, b in zip(vectors[0], vectors[2], strict=True))
    assert near > 0.3
    assert sum(a * a for a in vectors[1]) == pytest.approx(1)


def test_a_judge_fills_in_the_form():
    def judged(text, seed=0):
        prompt = Prompt.chat(Message("user", text))
        return values(FakeEngine(), [Generate(prompt, seed=seed, role="judge")])[0].text.split(
            "\n"
        )[-1]

    marks = {
        judged("Write Score: N, a whole number from 2 (worthless) to 4 (best).", s)
        for s in range(30)
    }
    assert marks == {"Score: 2", "Score: 3", "Score: 4"}
    ranking = judged("Write all 3 numbers in this form:\n\nRanking: 2 > 1 > 3")
    assert sorted(ranking.removeprefix("Ranking: ").split(" > ")) == ["1", "2", "3"]
    assert judged("What?").startswith("Score: ")


def test_failures_are_chosen_by_place_predicate_or_rate():
    batch = [Generate(ASKED, seed=s) for s in range(50)]
    by_place = now(FakeEngine(fail_at=3, transient=True).serve(batch))
    assert [i for i, r in enumerate(by_place) if isinstance(r, Failed)] == [3]
    assert by_place[3].transient
    assert by_place[3].usage.calls == 1
    by_kind = now(FakeEngine(fail=lambda r: isinstance(r, Embed)).serve([*batch, Embed(("a",))]))
    assert [isinstance(r, Failed) for r in by_kind] == [False] * 50 + [True]
    by_rate = [isinstance(r, Failed) for r in now(FakeEngine(fail=0.3).serve(batch))]
    assert 5 < sum(by_rate) < 28
    backwards = [isinstance(r, Failed) for r in now(FakeEngine(fail=0.3).serve(batch[::-1]))]
    assert backwards[::-1] == by_rate
    with pytest.raises(InvalidInput, match="between 0 and 1"):
        FakeEngine(fail=3)


def test_hostile_texts():
    batch = [Generate(ASKED, seed=s) for s in range(40)]
    assert {c.text for c in values(FakeEngine(texts="empty"), batch)} == {""}
    plain = values(FakeEngine(), batch)
    for cut, full in zip(values(FakeEngine(texts="truncated"), batch), plain, strict=True):
        assert cut.finish == "limit"
        assert full.text.startswith(cut.text)
        assert 0 < cut.tokens < full.tokens
    malformed = values(FakeEngine(texts="malformed"), batch)
    assert any("\ud83d" in c.text for c in malformed)
    mixed = values(FakeEngine(texts="mixed"), batch)
    assert any(c.text == "" for c in mixed)
    assert any(c in plain for c in mixed)
    assert any(c.finish == "limit" for c in mixed)


def test_peak_counts_what_is_in_flight_together():
    engine = FakeEngine(latency_s=0.002)

    async def all_at_once():
        async with asyncio.TaskGroup() as group:
            for seed in range(12):
                group.create_task(engine.serve([Generate(ASKED, seed=seed)]))

    asyncio.run(all_at_once())
    assert engine.peak["Generate"] == engine.calls["Generate"] == 12
    asyncio.run(engine.serve([GENERATE]))
    assert engine.peak["Generate"] == 12


def test_a_cancelled_call_is_no_longer_in_flight():
    engine = FakeEngine(latency_s=30)

    async def give_up():
        task = asyncio.ensure_future(engine.serve([GENERATE]))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(give_up())
    assert engine.peak["Generate"] == 1
    quick = FakeEngine(latency_s=1e-6)
    asyncio.run(quick.serve([GENERATE]))
    assert engine._in_flight["Generate"] == quick._in_flight["Generate"] == 0


def test_waits_are_heavy_tailed_and_reproducible():
    engine = FakeEngine(latency_s=1.0)
    waits = sorted(engine.wait_s(Generate(ASKED, seed=s)) for s in range(200))
    assert 0.7 < waits[100] < 1.4
    assert waits[-1] > 5
    assert engine.wait_s(GENERATE) == FakeEngine(latency_s=1.0).wait_s(GENERATE)
    assert engine.wait_s(GENERATE) != FakeEngine(latency_s=1.0, latency_seed=1).wait_s(GENERATE)


def test_chunks_join_to_the_text():
    chunks: dict[int, str] = {}

    def emit(index, text):
        chunks[index] = chunks.get(index, "") + text

    replies = now(FakeEngine().serve(ONE_OF_EACH[:3], emit))
    assert chunks == {index: reply.value.text for index, reply in enumerate(replies)}


def test_long_prompts_are_measured_once_a_part(monkeypatch):
    from cogitate.engines import writing

    measured = []
    plain = writing.estimated_tokens
    monkeypatch.setattr(writing, "estimated_tokens", lambda text: measured.append(1) or plain(text))
    engine = FakeEngine()
    prompt = Prompt.raw("x" * 2_000_000)
    for _ in range(300):
        prompt = prompt.then("one more step\n\n")
        ceiling = engine.ceiling(Generate(prompt, seed=0))
    assert ceiling.tokens_in == 500_000 + 300 * 4
    assert len(measured) == 301


# -------------------------------------------------------------------------------- Scripted


def test_scripts_by_role_kind_and_function():
    engine = Scripted(
        {
            "judge": ["8/10"],
            "Generate": lambda request: f"seed {request.seed}",
            "ScoreSteps": lambda request: tuple(0.5 for _ in request.steps),
            "Call": [Failed("no", "refused"), Completion("as it is")],
        }
    )
    batch = [
        dataclasses.replace(GENERATE, role="judge"),
        GENERATE,
        ScoreSteps(ASKED, ("a", "b")),
        Call("f"),
        Call("f"),
        Grade(("a", "A"), "text"),
    ]
    found = now(engine.serve(batch))
    assert [r.value.text for r in found[:2]] == ["8/10", "seed 7"]
    assert found[2].value == (0.5, 0.5)
    assert found[3].kind == "refused"
    assert found[4].value == Completion("as it is")
    assert found[5].value.classes == (0, 0)
    assert engine.requests == batch
    assert now(engine.serve([batch[0]]))[0].kind == "missing"


def test_other_exceptions_crash_the_script():
    engine = Scripted([RuntimeError("boom")])
    with pytest.raises(RuntimeError, match="boom"):
        engine.serve([GENERATE]).send(None)
