from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from cogitate.assembly import solve
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Choice, Completion, Embed, Generate, Reply
from cogitate.core.task import Message
from cogitate.core.until import Contains
from cogitate.lab import About, Pool, Question, RecordedModel, Sample, open_pool, pool_tasks

ASKED = Generate(Prompt.chat(Message("user", "Two and two?")), seed=0)


def sample(k: int, text: str = "", tokens: int = 10, **more: object) -> Sample:
    text = text or f"It is {k}.\n#### {k}"
    return Sample(k, text, tokens, "eos", -5.0, -2.0, prompt_tokens=7, **more)  # pyright: ignore[reportArgumentType]


def pool(*samples: Sample) -> Pool:
    held = samples or tuple(sample(k) for k in range(8))
    return Pool(About("tiny"), (Question(0, "Two and two?", "4", held),))


def ask(model: RecordedModel, *requests: Generate) -> list[Completion]:
    replies = asyncio.run(model.serve(requests))
    assert all(isinstance(r, Reply) for r in replies), replies
    return [r.value for r in replies if isinstance(r, Reply)]


def failure(model: RecordedModel, request: object) -> Failed:
    [reply] = asyncio.run(model.serve([request]))  # pyright: ignore[reportArgumentType]
    assert isinstance(reply, Failed)
    return reply


def test_every_sample_is_drawn_once_and_then_the_pool_is_dry() -> None:
    model = RecordedModel(pool())
    texts = [c.text for c in ask(model, *(replace(ASKED, seed=s) for s in range(8)))]
    assert sorted(texts) == sorted(s.text for s in pool().questions[0].samples)
    dry = failure(model, replace(ASKED, seed=99))
    assert (dry.kind, dry.transient) == ("exhausted", False)
    assert "8 samples of question 0" in str(dry)


def test_a_seed_keeps_its_sample_and_other_seeds_draw_others() -> None:
    model = RecordedModel(pool())
    first, again = ask(model, ASKED, ASKED)
    assert first == again
    orders = {
        tuple(c.text for c in ask(RecordedModel(pool()), *(replace(ASKED, seed=s) for s in order)))
        for order in ([1, 2, 3], [4, 5, 6], [7, 8, 9])
    }
    assert len(orders) == 3


def test_draws_are_fair() -> None:
    """Over many seeds every sample comes first about equally often."""
    counts = dict.fromkeys(range(8), 0)
    for seed in range(1600):
        [reply] = asyncio.run(RecordedModel(pool()).serve([replace(ASKED, seed=seed)]))
        assert isinstance(reply, Reply)
        counts[reply.index or 0] += 1
    assert all(140 <= n <= 260 for n in counts.values()), counts  # 200 ± 4.5 deviations


def test_a_cap_or_a_stop_string_cuts() -> None:
    model = RecordedModel(pool(sample(0, "abcdefghij\n\n#### 4", tokens=18)))
    [cut] = ask(model, replace(ASKED, max_tokens=9))
    assert (cut.text, cut.tokens, cut.finish) == ("abcdefghi", 9, "limit")
    [stopped] = ask(model, replace(ASKED, stop=("\n\n",)))
    assert (stopped.text, stopped.finish, stopped.stopped_by) == ("abcdefghij\n\n", "stop", "\n\n")


def test_logprobs_are_those_recorded_or_sum_to_what_was() -> None:
    model = RecordedModel(pool(sample(0, tokens=3, logprobs=(-1.0, -2.0, -2.0))))
    assert ask(model, replace(ASKED, logprobs=0))[0].logprobs == (-1.0, -2.0, -2.0)
    summed = RecordedModel(pool(sample(0, tokens=4)))
    assert ask(summed, replace(ASKED, logprobs=0))[0].logprobs == (-1.25,) * 4
    assert ask(summed, ASKED)[0].logprobs == ()


@pytest.mark.parametrize(
    ("request_", "kind", "said"),
    [
        (replace(ASKED, logprobs=5), "unsupported", "alternatives"),
        (replace(ASKED, constraint=Choice(("a",))), "unsupported", "constraint"),
        (replace(ASKED, until=(Contains("x"),)), "unsupported", "predicate"),
        (replace(ASKED, prompt=ASKED.prompt.then("It")), "unsupported", "cannot be continued"),
        (replace(ASKED, prompt=Prompt.raw("else")), "missing", "questions such as 'Two and two?'"),
        (Embed(("a",)), "unserved", "not Embed"),
    ],
)
def test_what_was_not_recorded_is_refused(request_: object, kind: str, said: str) -> None:
    refused = failure(RecordedModel(pool()), request_)
    assert refused.kind == kind
    assert said in str(refused)


def test_a_question_is_found_inside_a_longer_prompt() -> None:
    long = Prompt.chat(
        Message("system", "Be brief."), Message("user", "Two and two? Answer by ####.")
    )
    assert ask(RecordedModel(pool()), replace(ASKED, prompt=long))


@pytest.mark.parametrize("strategy", ["self_consistency(n={})", "best_of(n={}, scorer=weighted(mean_logprob()))", "best_of(n={}, scorer=mean_logprob())"])  # fmt: skip
def test_strategies_choose_among_recorded_answers(strategy: str) -> None:
    recorded = open_pool("smollm2-wordproblems")
    task, _ = pool_tasks(recorded)[3]
    texts = {s.text for s in recorded.questions[3].samples}
    for n in (1, 8, 32):
        found = solve(task, model="pool:smollm2-wordproblems", strategy=strategy.format(n))
        assert {c.state.text.strip() for c in found.candidates} <= {t.strip() for t in texts}
        assert found.usage.calls <= n
        if "best" in strategy:
            assert found.usage.calls == n
    assert found.usage.tokens_out == sum(s.tokens for s in recorded.questions[3].samples) or (
        "self" in strategy
    )


def test_more_than_was_recorded_is_said() -> None:
    task, _ = pool_tasks(open_pool("smollm2-wordproblems"))[0]
    found = solve(
        task, model="pool:smollm2-wordproblems", strategy="best_of(n=40, scorer=majority())"
    )
    assert found.usage.calls == 32
    assert "8 lost" in found.ranking.note
    assert "all are drawn" in found.ranking.note


def test_a_pool_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidInput, match="neither a file nor one of the packaged pools"):
        solve("2 + 2?", model="pool:nothing")
    with pytest.raises(InvalidInput, match="names no recording"):
        solve("2 + 2?", model="pool:")
