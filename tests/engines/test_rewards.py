"""Reward models over HTTP: what is sent byte by byte, what is believed of the reply, and what it cost."""

from __future__ import annotations

import asyncio
import math

import pytest
from loopback import answering

import cogitate
from cogitate.assembly.configuration import load
from cogitate.assembly.models import open_spec
from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Embed, Reply, ScoreSteps
from cogitate.core.task import Attachment, Message, Task
from cogitate.drive import run_async
from cogitate.engines.openai import (
    FORMATS,
    Price,
    RewardModel,
    Secret,
    Timeouts,
    assumed,
    format_named,
)
from cogitate.scorers import OutcomeReward, ProcessReward

QUESTION = Prompt.chat(Message("user", "1 + 1?"))
TWO = ScoreSteps(QUESTION, ("Add them. ", " It is 2.\n"))
ONE = ScoreSteps(QUESTION, ("It is 2.",))


def served(answers, *requests, format="qwen", **options):
    """What the engine made of these answers, and the server."""

    async def main():
        async with answering(answers) as server:
            engine = RewardModel(server.url, "prm", format, **options)
            outcomes = await engine.serve(requests)
            await engine.close()
            return outcomes, server

    return asyncio.run(main())


def pooled(*rows, usage=(10,)):
    return {
        "data": [{"index": i, "object": "pooling", "data": r} for i, r in enumerate(rows)],
        "usage": {"prompt_tokens": usage[0], "total_tokens": usage[0]},
    }


# ------------------------------------------------------------------------------ what is sent


def test_qwen_is_written_byte_by_byte():
    (reply,), server = served({"/pooling": pooled([[0.1, 0.9], [0.75, 0.25]])}, TWO)
    assert server.seen[0][1] == {
        "model": "prm",
        "input": [
            "<|im_start|>system\nPlease reason step by step, and put your final answer within "
            "\\boxed{}.<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\n"
            "Add them.<extra_0>It is 2.<extra_0><|im_end|><|endoftext|>"
        ],
        "task": "token_classify",
        "use_activation": True,
    }
    assert reply.value == (0.9, 0.25)
    assert (reply.usage.tokens_in, reply.usage.calls, reply.usage.usd) == (10, 1, None)
    assert not reply.usage.estimated


def test_math_shepherd_by_its_pooler_takes_the_softmax_itself():
    answers = {"/pooling": pooled([[2.0, 2.0], [1.0, 3.0]])}
    (reply,), server = served(answers, TWO, format="math-shepherd-pooling")
    (body,) = server.bodies("/pooling")
    assert body["input"] == ["1 + 1? Add them. ки\nIt is 2. ки"]
    assert body["use_activation"] is False
    assert reply.value == pytest.approx((0.5, 1 / (1 + math.exp(2.0))))


def labels(plus, minus):
    top = [{"token": "+", "logprob": plus}, {"token": "-", "logprob": minus}]
    return {
        "choices": [
            {
                "index": 0,
                "text": "+",
                "message": {"content": "+"},
                "finish_reason": "length",
                "logprobs": {
                    "content": [{"token": "+", "logprob": plus, "top_logprobs": top}],
                },
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 1},
    }


def test_rlhflow_asks_for_the_label_of_each_turn():
    chance = {1: (-1.0, -1.0), 3: (math.log(0.2), math.log(0.6))}
    answers = {"/v1/chat/completions": lambda body: labels(*chance[len(body["messages"])])}
    (reply,), server = served(answers, TWO, format="rlhflow", capabilities=assumed("openai"))
    sent = sorted(
        ([(m["role"], m["content"]) for m in b["messages"]] for _, b, _ in server.seen), key=len
    )
    assert sent == [
        [("user", "1 + 1? Add them.")],
        [("user", "1 + 1? Add them."), ("assistant", "+"), ("user", "It is 2.")],
    ]
    assert reply.value == pytest.approx((0.5, 0.25))
    assert (reply.usage.tokens_in, reply.usage.tokens_out, reply.usage.calls) == (14, 2, 1)


def test_a_step_whose_label_cannot_be_had_fails_with_what_the_others_cost():
    answers = {
        "/v1/chat/completions": lambda body: (
            labels(-1.0, -1.0)
            if len(body["messages"]) == 1
            else {"choices": [{"message": {"content": "+"}}], "usage": {}}
        )
    }
    (failed,), _ = served(answers, TWO, format="rlhflow", capabilities=assumed("openai"))
    assert (type(failed), failed.kind) == (Failed, "unsupported")


def test_math_shepherd_continues_raw_text():
    raw = {
        "choices": [
            {
                "text": "+",
                "logprobs": {
                    "tokens": ["+"],
                    "token_logprobs": [-0.1],
                    "top_logprobs": [{"+": -2.0, "-": -2.0}],
                },
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 1},
    }
    answers = {
        "/v1/completions": raw,
        "/tokenize": lambda b: {"tokens": [ord(b["prompt"])], "token_strs": [b["prompt"]]},
    }
    (reply,), server = served(answers, TWO, format="math-shepherd")
    prompts = sorted((b["prompt"] for b in server.bodies("/v1/completions")), key=len)
    assert prompts == ["1 + 1? Add them. ки", "1 + 1? Add them. ки\nIt is 2. ки"]
    assert reply.value == pytest.approx((0.5, 0.5))


def test_skywork_reads_the_rows_at_its_line_ends():
    def tokens(body):
        return {"tokens": [ord(c) for c in body["prompt"]]}

    def rows(body):
        (ids,) = body["input"]
        return pooled([[i % 7 - 3.0] for i in range(len(ids))], usage=(len(ids),))

    spread = ScoreSteps(QUESTION, ("a\nb", "c"))
    (reply,), server = served({"/tokenize": tokens, "/pooling": rows}, spread, format="skywork")
    (body,) = server.bodies("/pooling")
    text = "".join(map(chr, body["input"][0]))
    assert text == "<|endoftext|>1 + 1?\na b\nc\n"
    first, second = text.index("b\n") + 1, len(text) - 1
    assert reply.value == pytest.approx(
        tuple(1 / (1 + math.exp(3 - i % 7)) for i in (first, second))
    )
    assert reply.usage.tokens_in == len(text)


def test_sglang_reads_the_last_token_so_each_step_is_a_text():
    rows = [
        {"embedding": [0.0, 0.0], "meta_info": {"prompt_tokens": 5}},
        {"embedding": [1.0, 1.0 + math.log(3)], "meta_info": {"prompt_tokens": 8}},
    ]
    (reply,), server = served({"/classify": rows}, TWO, capabilities=assumed("sglang"))
    (body,) = server.bodies("/classify")
    assert list(body) == ["text"]
    assert [t.rsplit("assistant\n")[-1] for t in body["text"]] == [
        "Add them.<extra_0>",
        "Add them.<extra_0>It is 2.<extra_0>",
    ]
    assert reply.value == pytest.approx((0.5, 0.75))
    assert reply.usage.tokens_in == 13


def test_an_outcome_model_is_asked_as_a_chat():
    answers = {
        "/classify": {
            "data": [{"index": 0, "probs": [-3.5], "num_classes": 1}],
            "usage": {"prompt_tokens": 4, "total_tokens": 4},
        }
    }
    asked = ScoreSteps(
        Prompt.chat(Message("system", "Be brief."), Message("user", "1 + 1?")), ("2",)
    )
    (reply,), server = served(answers, asked, format="classify")
    assert server.seen[0][1] == {
        "model": "prm",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "1 + 1?"},
            {"role": "assistant", "content": "2"},
        ],
        "use_activation": False,
    }
    assert reply.value == (-3.5,)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "classify-chatml",
            "<|im_start|>user\n1 + 1?<|im_end|>\n<|im_start|>assistant\nIt is 2.<|im_end|>\n",
        ),
        (
            "classify-llama3",
            "<|start_header_id|>user<|end_header_id|>\n\n1 + 1?<|eot_id|>"
            "<|start_header_id|>assistant<|end_header_id|>\n\nIt is 2.<|eot_id|>",
        ),
    ],
)
def test_outcome_models_on_sglang_are_sent_text(name, text):
    answers = {"/classify": {"embedding": [4.25], "meta_info": {"prompt_tokens": 9}}}
    (reply,), server = served(answers, ONE, format=name, capabilities=assumed("sglang"))
    assert server.seen[0][1] == {"text": [text]}
    assert (reply.value, reply.usage.tokens_in) == ((4.25,), 9)


def test_a_classifier_of_several_classes_needs_a_class():
    answers = {
        "/classify": {
            "data": [{"probs": [0.2, 0.8]}],
            "usage": {"prompt_tokens": 4, "completion_tokens": 0},
        }
    }
    (failed,), _ = served(answers, ONE, format="classify")
    assert (failed.kind, failed.usage.tokens_in) == ("malformed", 4)
    assert "name a class" in str(failed)
    (reply,), server = served(answers, ONE, format=format_named("classify", 1))
    assert reply.value == (0.8,)
    assert server.seen[0][1]["use_activation"] is True


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llamacpp"])
def test_rerankers_in_each_servers_form(dialect):
    forms = {
        "vllm": {
            "results": [
                {"index": 1, "relevance_score": 0.9},
                {"index": 0, "relevance_score": -2.0},
            ],
            "usage": {"total_tokens": 30},
        },
        "llamacpp": {
            "results": [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": -2}],
            "usage": {"prompt_tokens": 30, "total_tokens": 30},
        },
        "sglang": [
            {"index": 1, "score": 0.9, "document": "y", "meta_info": {"prompt_tokens": 20}},
            {"index": 0, "score": [-2.0], "document": "x", "meta_info": {"prompt_tokens": 10}},
        ],
    }
    requests = [ScoreSteps(QUESTION, ("x",)), ScoreSteps(QUESTION, ("y",))]
    outcomes, server = served(
        {"/v1/rerank": forms[dialect]}, *requests, format="rerank", capabilities=assumed(dialect)
    )
    assert server.seen[0][1] == {"model": "prm", "query": "1 + 1?", "documents": ["x", "y"]}
    assert [o.value for o in outcomes] == [(-2.0,), (0.9,)]
    assert [o.usage.tokens_in for o in outcomes] == [15, 15]
    assert [o.usage.calls for o in outcomes] == [1, 1]


def test_rerankers_take_one_question_a_call():
    answer = {"results": [{"index": 0, "relevance_score": 1.0}]}
    other = ScoreSteps(Prompt.raw("2 + 2?"), ("4",))
    outcomes, server = served({"/v1/rerank": answer}, ONE, other, format="rerank")
    assert sorted(b["query"] for _, b, _ in server.seen) == ["1 + 1?", "2 + 2?"]
    assert all(o.usage.estimated for o in outcomes)


def test_pairs_are_scored_together():
    answer = {
        "data": [{"index": 0, "score": 0.5}, {"index": 1, "score": 0.25}],
        "usage": {"prompt_tokens": 8, "completion_tokens": 0},
    }
    other = ScoreSteps(Prompt.raw("2 + 2?"), ("4",))
    outcomes, server = served({"/score": answer}, ONE, other, format="score")
    assert server.seen[0][1] == {
        "model": "prm",
        "text_1": ["1 + 1?", "2 + 2?"],
        "text_2": ["It is 2.", "4"],
    }
    assert [o.value for o in outcomes] == [(0.5,), (0.25,)]


# ------------------------------------------------------------------------- what is not believed


def first(outcome):
    assert isinstance(outcome, Failed), outcome
    assert "\n" not in str(outcome)
    return outcome


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (pooled([[0.1, 0.9]]), "gave 1 scores for 2 steps"),
        (pooled([[0.1, 0.9]] * 3), "gave 3 scores for 2 steps"),
        (pooled([[0.1, 0.9], [1.4, -0.4]]), "no probabilities"),
        (pooled([[0.1, 0.2], [0.1, 0.9]]), "no probabilities"),
        (pooled([[0.9], [0.9]]), "answered 1 classes"),
        (pooled([0.9, 0.1]), "answered 1 classes"),
        (pooled([]), "no rows"),
        (pooled("AAAA"), "no rows"),
        (pooled([["0.1", 0.9], [0.1, 0.9]]), "finite numbers"),
        (pooled([[True, False], [0.1, 0.9]]), "finite numbers"),
        ('{"data": [{"index": 0, "data": [[NaN, 1], [0, 1]]}]}', "finite numbers"),
        (pooled([[0.1, 0.9]] * 2, [[0.1, 0.9]] * 2), "2 results for 1 texts"),
        ({"data": []}, "0 results for 1 texts"),
        ({"data": [{"index": 5, "data": []}]}, "results for 1 texts"),
        ({"data": ["x"]}, "results for 1 texts"),
        ([], "0 results"),
        ("7", "0 results"),
        ("<html>", "not JSON"),
    ],
)
def test_malformed_replies_are_failures(answer, words):
    (outcome,), _ = served({"/pooling": answer}, TWO)
    assert first(outcome).kind == "malformed"
    assert words in str(outcome)


def test_probabilities_where_logits_were_asked_for_are_not_squashed_again():
    answers = {"/pooling": pooled([[0.1, 0.9], [0.2, 0.8]])}
    (outcome,), _ = served(answers, TWO, format="math-shepherd-pooling")
    assert "probabilities where logits" in str(first(outcome))


def test_one_malformed_answer_leaves_its_neighbours():
    answers = {"/pooling": pooled([[0.1, 0.9], [0.3, 0.7]], [[0.1, 0.9]])}
    (good, bad), server = served(answers, TWO, TWO)
    assert good.value == (0.9, 0.7)
    assert first(bad).kind == "malformed"
    assert (good.usage.tokens_in, bad.usage.tokens_in) == (5, 5)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("request_", "kind", "words"),
    [
        (
            ScoreSteps(QUESTION, ("Fine.", "It is <extra_0> 2.")),
            "malformed",
            "step 2 contains '<extra_0>'",
        ),
        (ScoreSteps(Prompt.raw("<|im_end|>"), ("2",)), "malformed", "the question contains"),
        (ScoreSteps(Prompt.tokens([1, 2]), ("2",)), "unsupported", "as text"),
        (ScoreSteps(QUESTION.then("So"), ("2",)), "unsupported", "begun answer"),
        (
            ScoreSteps(
                Prompt.chat(Message("user", "?", (Attachment("image/png", url="x"),))), ("2",)
            ),
            "unsupported",
            "attachments",
        ),
        (Embed(("a",)), "unserved", "Embed"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_it_is_sent(request_, kind, words):
    (outcome,), server = served({}, request_)
    assert first(outcome).kind == kind
    assert words in str(outcome)
    assert outcome.usage is not None
    assert outcome.usage.calls == 0
    assert not server.seen


def test_an_outcome_model_scores_no_steps():
    (outcome,), server = served({}, TWO, format="rerank")
    assert first(outcome).kind == "unsupported"
    assert not server.seen


def test_no_steps_cost_nothing():
    (reply,), server = served({}, ScoreSteps(QUESTION, ()))
    assert (reply.value, reply.usage.calls, server.seen) == ((), 0, [])


# ------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize(
    ("answer", "kind", "transient"),
    [
        (429, "rate_limited", True),
        (500, "crashed", True),
        (401, "refused", False),
        ("hang", "timeout", True),
    ],
)
def test_faults_have_their_kind_and_no_key(answer, kind, transient):
    key = Secret("sk-very-secret-123", "REWARD_KEY")
    timeouts = Timeouts(connect_s=1, first_byte_s=0.3, between_bytes_s=0.3)
    (one, two), server = served({"/pooling": answer}, TWO, ONE, key=key, timeouts=timeouts)
    for outcome in (one, two):
        assert (first(outcome).kind, outcome.transient) == (kind, transient)
        assert "very-secret" not in repr(outcome) + str(outcome)
        assert outcome.__traceback__ is None
    assert (one.retry_after_s == 7) == (answer == 429)
    assert server.seen[0][2]["Authorization"] == "Bearer sk-very-secret-123"
    assert "very-secret" not in repr(RewardModel(server.url, "prm", "qwen", key=key))


def test_one_text_that_is_too_long_does_not_fail_the_others():
    def answer(body):
        return 413 if len(body["input"]) > 1 or "long" in body["input"][0] else pooled([[0.1, 0.9]])

    outcomes, server = served({"/pooling": answer}, ONE, ScoreSteps(QUESTION, ("long",)), ONE)
    assert [type(o) for o in outcomes] == [Reply, Failed, Reply]
    assert outcomes[1].kind == "too_long"
    assert len(server.seen) == 4


def test_many_texts_are_split_into_calls():
    answer = lambda body: pooled(*[[[0.1, 0.9]]] * len(body["input"]), usage=(64,))  # noqa: E731
    outcomes, server = served({"/pooling": answer}, *[ONE] * 130)
    assert sorted(len(b["input"]) for _, b, _ in server.seen) == [2, 64, 64]
    assert sum(o.usage.tokens_in for o in outcomes) == 3 * 64
    assert all(o.usage.calls == 1 for o in outcomes)


@pytest.mark.parametrize("name", list(FORMATS))
def test_the_ceiling_covers_every_byte_that_is_sent(name):
    engine = RewardModel("http://localhost:1", "prm", name, price=Price(1.0, 2.0))
    request = ONE if not FORMATS[name].steps else TWO
    ceiling = engine.ceiling(request)
    form = FORMATS[name]
    sent = sum(len(t.encode()) for t in form.prefixes("1 + 1?", form.cleaned(request.steps)))
    assert ceiling.tokens_in >= (
        sent if form.ask == "labels" else len(form.text("1 + 1?", request.steps))
    )
    assert ceiling.calls == 1
    assert ceiling.usd is not None


def test_formats_are_refused_by_name():
    with pytest.raises(InvalidInput, match="there are qwen"):
        RewardModel("http://localhost:1", "prm", "quen")
    with pytest.raises(InvalidInput, match="only the classify formats"):
        format_named("qwen", 1)
    with pytest.raises(InvalidInput, match="no model"):
        RewardModel("http://localhost:1", "", "qwen")


# ----------------------------------------------------------------------------------- in a run


def test_the_scorers_use_it():
    async def main(answers, format, scorer, texts):
        async with answering(answers) as server:
            engine = RewardModel(server.url, "prm", format)
            try:
                flow = scorer(Task.of("1 + 1?"), [Artifact(t) for t in texts])
                return (await run_async(flow, engine)).value
            finally:
                await engine.close()

    answer = {
        "/pooling": lambda b: pooled(*[[[0.1, 0.9]] * t.count("<extra_0>") for t in b["input"]])
    }
    found = asyncio.run(main(answer, "qwen", ProcessReward(), ["One.\n\nTwo.", "Three <extra_0>."]))
    assert isinstance(found[0], Score)
    assert found[0].value == 0.9
    assert isinstance(found[1], Unscored)
    ranked = {"/v1/rerank": {"results": [{"index": 0, "relevance_score": -7.5}]}}
    found = asyncio.run(main(ranked, "rerank", OutcomeReward(), ["It is 2."]))
    assert found[0].value == -7.5


LISTED = {"/v1/models": {"data": [{"id": "prm", "owned_by": "vllm"}]}, "/version": {"version": "9"}}


def opened(answers, make, **environment):
    async def main():
        async with answering({**LISTED, **answers}) as server:
            spec, configuration = make(server.url)
            engine = await open_spec(spec, configuration)
            try:
                return engine, await engine.serve([ONE]), server
            finally:
                await engine.close()

    return asyncio.run(main())


def test_a_spec_names_the_format():
    answers = {"/classify": {"data": [{"probs": [0.2, 0.8]}], "usage": {"prompt_tokens": 1}}}
    engine, (reply,), server = opened(
        answers, lambda url: (f"reward:{url}#prm?format=classify&class=1", load(environment={}))
    )
    assert (engine.format.name, engine.format.index, reply.value) == ("classify", 1, (0.8,))
    assert engine.fingerprint == f"vllm 9 {server.url} prm as classify"


def test_an_endpoint_names_the_format(tmp_path):
    def make(url):
        file = tmp_path / "cogitate.toml"
        file.write_text(
            f'[endpoints.prm]\nbase_url = "{url}"\nmodel = "prm"\nformat = "qwen"\n'
            'key_variable = "PRM_KEY"\nprice = {input = 1000000, output = 0}\n'
        )
        return "prm", load(file, environment={"PRM_KEY": "sk-abc"})

    engine, (reply,), server = opened({"/pooling": pooled([[0.1, 0.9]])}, make)
    assert reply.value == (0.9,)
    assert reply.usage.usd == 10.0
    assert all(h["Authorization"] == "Bearer sk-abc" for _, _, h in server.seen)
    with_url = lambda url: (f"reward:{url}#prm", make(url)[1])  # noqa: E731
    engine, (reply,), _ = opened({"/pooling": pooled([[0.1, 0.9]])}, with_url)
    assert engine.format.name == "qwen"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("reward:http://localhost:1", "names no model"),
        ("reward:localhost#m", "reward:BASE_URL#MODEL"),
        ("reward:http://localhost:1#m", "has no format"),
        ("reward:http://localhost:1#m?format=x", "there are qwen"),
        ("reward:http://localhost:1#m?form=qwen", "options are format and class"),
        ("reward:http://localhost:1#m?format=classify&class=one", "give its number"),
        ("reward:http://localhost:1#m?format=qwen&class=1", "only the classify formats"),
    ],
)
def test_specs_that_cannot_be(spec, words):
    with pytest.raises(InvalidInput) as caught:
        asyncio.run(open_spec(spec, load(environment={})))
    assert words in str(caught.value)


def test_a_run_with_a_verifier_of_its_own():
    async def main():
        answer = lambda b: pooled(*[[[0.1, 0.9]] * t.count("<extra_0>") for t in b["input"]])  # noqa: E731
        async with answering({**LISTED, "/pooling": answer}) as server:
            return await cogitate.solve_async(
                "1 + 1?",
                model={
                    "policy": "fake",
                    "verifier": f"reward:{server.url}#prm?format=qwen",
                },
                strategy="best_of(n=3, scorer=prm())",
                kind="number",
                configuration=load(environment={"COGITATE_CACHE": "off"}),
            ), server

    result, server = asyncio.run(main())
    assert server.bodies("/pooling")
    assert result.score == pytest.approx(0.9)
