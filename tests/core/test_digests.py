"""What a request is called must not change: journals, caches and seeds of fakes hang on it."""

from __future__ import annotations

import dataclasses
import json

import pytest

from cogitate.core.candidates import Artifact
from cogitate.core.codec import decode, encode
from cogitate.core.errors import InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import (
    Completion,
    Generate,
    JsonSchema,
    Loglikelihood,
    Sampling,
    ScoreSteps,
)
from cogitate.core.task import Attachment, Manner, Message, Task, ToolCall
from cogitate.core.until import Contains, Repeats
from cogitate.testing import FakeEngine

CHAT = Prompt.chat(Message("system", "Be brief."), Message("user", "Was ist ½?"))
SEEN = Prompt.chat(
    Message("user", "See.", (Attachment("image/png", "abc", "http://x/y.png"),)),
)
FIND = json.dumps({"type": "function", "function": {"name": "find", "parameters": {}}})
_SAID = (
    "Step 1: compare, 47 + 42 = 89.\n\nStep 2: check, 6 + 48 = 54.\n\nSo the answer is 62.\n#### 62"
)
CALL = ToolCall("call_1", "find", '{"q": "oak"}')


def test_digests_of_old_requests_stay() -> None:
    full = Generate(
        SEEN,
        7,
        max_tokens=99,
        least_tokens=9,
        stop=("a", "b"),
        sampling=Sampling(0.2, 0.9, 40, 0.1),
        logprobs=3,
        constraint=JsonSchema("{}"),
        until=(Contains("x"), Repeats()),
        final=True,
        role="judge",
    )
    assert [p.digest for p in (CHAT, SEEN, CHAT.then("Half", (1, 2)))] == [
        "2a10c010bcdd6fece16c2510ecf8a470",
        "55205b644ba37461f60c1247124331de",
        "0fdd177b06444284b43ae2d11b9d5bdf",
    ]
    assert [r.key() for r in (Generate(CHAT, 7), full)] == [
        "e1558913643d9c2c3ab49db0",
        "26e45640d91df3eb753df447",
    ]
    assert (Generate(CHAT, 7).sibling_key(), full.sibling_key()) == (
        "6656a9dd887ea166a72ff98b",
        "d2d7a3324e50551be92a078f",
    )
    assert [r.key() for r in (ScoreSteps(CHAT, ("a", "b")), Loglikelihood(SEEN, ("A",), True))] == [
        "9463b031962eed3066b8645c",
        "6f82d377cda5be4d24f47b36",
    ]
    assert Generate(CHAT, 7).body() == {"prompt": CHAT.digest, "seed": 7}


@pytest.mark.parametrize(
    "other",
    [
        {"tools": (FIND,)},
        {"tools": (FIND,), "tool_choice": "required"},
        {"tools": (FIND,), "parallel_calls": False},
        {"tools": (FIND,), "parallel_calls": True},
        {"sampling": Sampling(presence_penalty=1)},
        {"sampling": Sampling(frequency_penalty=1)},
        {"stop": ("x",), "withheld": ("x",)},
    ],
)
def test_whatever_is_asked_is_in_the_digest_and_comes_back(other: dict[str, object]) -> None:
    plain = Generate(CHAT, 7, **{k: v for k, v in other.items() if k in ("tools", "stop")})
    asked = dataclasses.replace(plain, **other)
    bare = Generate(CHAT, 7)
    assert len({bare.key(), asked.key()}) == 2
    assert len({bare.sibling_key(), asked.sibling_key()}) == 2
    if other.keys() - {"tools", "stop"}:
        assert plain.key() != asked.key()
    back = Generate.from_body(json.loads(json.dumps(asked.body())), {CHAT.digest: CHAT})
    assert back == asked
    assert back.key() == asked.key()


MESSAGES = [
    Message("assistant", "", calls=(CALL,)),
    Message("assistant", "Look.", calls=(CALL, ToolCall("2", "find", "no JSON {"))),
    Message("tool", "an oak", call_id="call_1"),
    Message("user", "Hi", name="ann"),
    Message("user", "Hi ann"),
    Message("user", "see this", (Attachment("image/png", url="data:,x", place=4, detail="low"),)),
    Message("user", "see this", (Attachment("image/png", url="data:,x", place=4),)),
    Message("user", "see this", (Attachment("image/png", url="data:,x"),)),
    Message("user", "see this", (Attachment("application/pdf", url="data:,x", name="a.pdf"),)),
]


def test_messages_differ_by_every_field_and_come_back() -> None:
    prompts = [Prompt.chat(message) for message in MESSAGES]
    assert len({p.digest for p in prompts}) == len(MESSAGES)
    for message, prompt in zip(MESSAGES, prompts, strict=True):
        body = json.loads(json.dumps(prompt.body()))
        back = Prompt.from_body(None, body["part"])
        assert back.digest == prompt.digest
        assert back.messages == (message,)


def test_calls_count_in_the_size_of_a_prompt() -> None:
    empty = Prompt.chat(Message("assistant", ""))
    called = Prompt.chat(Message("assistant", "", calls=(CALL,)))
    assert called.size - empty.size == len("call_1find" + CALL.arguments)


@pytest.mark.parametrize(
    "value",
    [
        Completion("", calls=(CALL,)),
        Artifact("", '[{"name":"find"}]', calls=(CALL,)),
        Manner(temperature=0.0, tools=(FIND,), tool_choice="auto", parallel_calls=False),
        Manner(stop=("a",), logprobs=2, constrained=True, bare=True, presence_penalty=-0.5),
        Task((Message("user", "?"),), manner=Manner(max_tokens=5)),
        Task((Message("user", "?"), Message("assistant", "", calls=(CALL,)))),
    ],
)
def test_what_has_calls_or_a_manner_comes_back(value: object) -> None:
    assert decode(type(value), json.loads(json.dumps(encode(value)))) == value


def test_what_fakes_draw_from_is_written_as_before() -> None:
    assert repr(Sampling(0.2, 1)) == "Sampling(temperature=0.2, top_p=1.0, top_k=0, min_p=0.0)"
    assert repr(Sampling(presence_penalty=1)).endswith("min_p=0.0, presence_penalty=1.0)")
    assert FakeEngine().write(Generate(CHAT, 7)).text == _SAID


def test_what_says_nothing_new_is_written_as_before() -> None:
    assert encode(Completion("x", ids=(1,))) == {"text": "x", "ids": [1]}
    assert encode(Sampling()) == {}
    assert encode(Task.of("?")) == {"messages": [{"role": "user", "content": "?"}]}


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({"temperature": -1}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 1.5}, "top_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ("",)}, "stop"),
        ({"logprobs": -2}, "logprobs"),
        ({"frequency_penalty": float("inf")}, "frequency_penalty"),
        ({"tools": ("{",)}, "no JSON"),
        ({"tools": ("[]",)}, "no JSON object"),
        ({"tools": ("[" * 100_000,)}, "no JSON"),
        ({"tools": (FIND,), "tool_choice": "sometimes"}, "tool_choice"),
        ({"tool_choice": "auto"}, "without tools"),
        ({"parallel_calls": True}, "without tools"),
    ],
)
def test_a_manner_that_no_model_has_is_refused_by_name(
    settings: dict[str, object], names: str
) -> None:
    with pytest.raises(InvalidInput, match=names):
        Manner(**settings)
