"""Values to JSON and back; digests that are the same in every process."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.core.codec import decode, encode, freeze
from cogitate.core.execute import ENDINGS, Execute, Execution, ExecutionLimits, Run, SourceFile
from cogitate.core.flow import Remaining, SetAside
from cogitate.core.kinds import REQUESTS
from cogitate.core.prompt import Message, Prompt
from cogitate.core.requests import (
    Call,
    Choice,
    Completion,
    Embed,
    Generate,
    Grade,
    Grades,
    Grammar,
    JsonSchema,
    Likelihood,
    Loglikelihood,
    Regex,
    Request,
    Sampling,
    ScoreSteps,
    TokenInfo,
)
from cogitate.core.retrieve import Passage, Retrieve
from cogitate.core.task import Attachment
from cogitate.core.until import Contains, Matches, Repeats
from cogitate.core.usage import Budget, Usage

PROMPT = Prompt.chat(Message("system", "be brief"), Message("user", "2 + 2?")).then("4")

GOLDEN: dict[str, Request[Any]] = {
    "generate": Generate(PROMPT, seed=7),
    "generate in full": Generate(
        PROMPT,
        seed=7,
        max_tokens=5,
        least_tokens=2,
        stop=("\n",),
        sampling=Sampling(0.0, 0.9, 4, 0.1),
        logprobs=2,
        constraint=Choice(("a", "b")),
        until=(Contains("x"), Matches("y"), Repeats()),
        final=True,
        role="judge",
    ),
    "loglikelihood": Loglikelihood(PROMPT, ("a", "é")),
    "score steps": ScoreSteps(PROMPT, ("one", "two")),
    "embed": Embed(("a\ud83d", "")),
    "grade": Grade(("4", None), "number", "4"),
    "call": Call("f", (1, 1.5, None, "x", (True,), {"k": ()})),
    "retrieve": Retrieve("how apples grow", 2),
    "remaining": Remaining(),
    "set aside": SetAside("verify", Budget(tokens_out=5, usd=0.5)),
    "execute": Execute(
        "print(input())",
        files=(SourceFile("data/a.txt", "é\n"),),
        limits=ExecutionLimits(seconds=2, output_bytes=100),
    ),
}

PINNED = {
    "generate": "4adc4c8a9f7bc5f5f4006056",
    "generate in full": "e8c30cca498512eda9c088ae",
    "loglikelihood": "0c408097e39be44ed7cc2dfd",
    "score steps": "2f80aab05a643253e9a57ca3",
    "embed": "41b36f036affd6e2aacdf929",
    "grade": "b57647c7c8bcaa696d4815a1",
    "call": "aec5302c8b40ad50defd5141",
    "retrieve": "4b0c0be01e92d75f9ebea628",
    "remaining": "6d2047c3630b74fa90b54358",
    "set aside": "de78f18f5350e02266bff645",
    "execute": "ca1b04043ee99ac2d11c5bc6",
}


def test_digests_are_pinned() -> None:
    """A changed digest makes every journal and cache of every user worthless: do it knowingly."""
    assert {name: request.key() for name, request in GOLDEN.items()} == PINNED


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_digests_are_the_same_in_every_process(hash_seed: str) -> None:
    code = (
        "from cogitate.core.requests import *; from cogitate.core.prompt import *;"
        "from cogitate.core.seeds import Seed;"
        "p = Prompt.chat(Message('system', 'be brief'), Message('user', '2 + 2?')).then('4');"
        "print(Generate(p, seed=7).key(), Call('f', ({'b': 1, 'a': 2},)).key(), Seed(3).at('x').int())"
    )
    said = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    from cogitate.core.seeds import Seed

    here = [
        GOLDEN["generate"].key(),
        Call("f", ({"a": 2, "b": 1},)).key(),
        str(Seed(3).at("x").int()),
    ]
    assert said.stdout.split() == here


@pytest.mark.parametrize("name", list(GOLDEN))
def test_every_field_is_in_the_digest(name: str) -> None:
    request = GOLDEN[name]
    for field in dataclasses.fields(request):
        held = getattr(request, field.name)
        other: Any = {
            str: "other",
            int: 99,
            bool: not held,
            Prompt: Prompt.raw("other"),
            tuple: ("other",),
        }.get(type(held), "other")
        if field.name == "constraint":
            other = Choice(("other",))
        elif field.name == "sampling":
            other = Sampling(0.123)
        elif field.name == "until":
            other = (Contains("other"),)
        elif field.name == "grant":
            other = Budget(calls=99)
        elif field.name == "language":
            other = "c++"
        elif field.name == "limits":
            other = ExecutionLimits(seconds=99)
        elif field.name == "files":
            other = (SourceFile("other", ""),)
        elif field.name == "after":
            request = dataclasses.replace(request, cell=True)  # only a cell has a history
        changed = dataclasses.replace(request, **{field.name: other})
        assert changed.key() != request.key(), field.name
        is_seed = field.name == "seed"
        assert (changed.sibling_key() == request.sibling_key()) is is_seed, field.name


def test_constraints_and_predicates_of_equal_text_differ() -> None:
    pieces = [JsonSchema("x"), Choice(("x",)), Grammar("x"), Regex("x")]
    keys = {Generate(PROMPT, seed=0, constraint=c).key() for c in pieces}
    untils = [Contains("x"), Matches("x"), Repeats()]
    keys |= {Generate(PROMPT, seed=0, until=(u,)).key() for u in untils}
    assert len(keys) == 7


# ---------------------------------------------------------------------------------- round trips

TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
NUMBER = st.floats(allow_nan=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3).map(tuple) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
LOGPROBS = st.lists(NUMBER, max_size=4).map(tuple)
RUN = st.builds(
    Run,
    TEXT,
    TEXT,
    st.integers(-64, 255),
    st.sampled_from(ENDINGS),
    st.booleans(),
    TEXT,
    st.sampled_from([(), ("stdout",), ("stdout", "stderr")]),
)
REPLIES: dict[type[Request[Any]], st.SearchStrategy[Any]] = {
    Generate: st.builds(
        Completion,
        TEXT,
        st.sampled_from(["eos", "stop", "limit", "until"]),
        TEXT,
        st.integers(0),
        st.lists(st.integers(0), max_size=4).map(tuple),
        LOGPROBS,
        st.lists(
            st.lists(st.builds(TokenInfo, TEXT, NUMBER), max_size=2).map(tuple), max_size=3
        ).map(tuple),
        TEXT,
    ),
    Loglikelihood: st.lists(st.builds(Likelihood, NUMBER, st.integers(0)), max_size=3).map(tuple),
    ScoreSteps: LOGPROBS,
    Embed: st.lists(LOGPROBS, max_size=3).map(tuple),
    Grade: st.builds(
        Grades,
        st.lists(st.none() | st.integers(0), max_size=3).map(tuple),
        st.lists(st.none() | TEXT, max_size=3).map(tuple),
        st.lists(st.none() | st.booleans(), max_size=3).map(tuple),
    ),
    Call: JSON,
    Remaining: st.builds(
        Budget, calls=st.none() | st.integers(0), usd=st.none() | st.floats(0, 1e9)
    ),
    SetAside: TEXT,
    Retrieve: st.lists(st.builds(Passage, TEXT, TEXT, NUMBER, TEXT), max_size=3).map(tuple),
    Execute: st.builds(
        Execution,
        st.lists(RUN, min_size=1, max_size=3).map(tuple),
        st.none() | RUN,
        st.integers(0),
    ),
}


def through_a_file(value: Any) -> Any:
    text = json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return json.loads(text.decode("utf-8", "surrogatepass"))


def same(left: Any, right: Any) -> bool:
    """Equal, and of equal types all the way down."""
    if type(left) is not type(right):
        return False
    if dataclasses.is_dataclass(left):
        return all(
            same(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(left)
        )
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return left == right


def test_every_kind_of_request_is_covered() -> None:
    assert set(REQUESTS.values()) | {Remaining, SetAside} == set(REPLIES)
    assert {type(r) for r in GOLDEN.values()} == set(REPLIES)


@pytest.mark.parametrize("name", [n for n in GOLDEN if n != "generate in full"])
@given(data=st.data())
def test_replies_come_back_exactly(name: str, data: st.DataObject) -> None:
    request = GOLDEN[name]
    reply = data.draw(REPLIES[type(request)])
    assert same(request.decode(through_a_file(request.encode(reply))), reply)


@pytest.mark.parametrize("name", list(GOLDEN))
def test_requests_come_back_from_their_bodies(name: str) -> None:
    request = GOLDEN[name]
    prompts = {PROMPT.digest: PROMPT}
    again = type(request).from_body(through_a_file(request.body()), prompts)
    assert same(again, request) or again == request
    assert again.key() == request.key()


@given(
    st.builds(
        Usage,
        st.integers(0),
        st.integers(0),
        st.integers(0),
        st.integers(0),
        st.integers(0),
        st.floats(0, 9),
        st.none() | st.floats(0, 1e20),
        st.none() | st.floats(0, 1e20),
        st.none() | st.floats(0, 9),
        st.booleans(),
    )
)
def test_usage_comes_back_exactly(usage: Usage) -> None:
    assert decode(Usage, through_a_file(encode(usage))) == usage


@pytest.mark.parametrize("value", [{1, 2}, b"bytes", object(), lambda: 0, {1: "a"}, (object(),)])
def test_what_has_no_json_form_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="journaled"):
        encode(value)


@pytest.mark.parametrize("kind", [bytes, set[int], object().__class__.__class__, complex])
def test_a_type_without_a_decoder_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="no decoder"):
        decode(kind, 1)


def test_whole_numbers_come_back_as_the_float_they_were() -> None:
    assert same(decode(tuple[float, ...], json.loads("[1, 2.0, 3]")), (1.0, 2.0, 3.0))
    assert freeze([[1], {"a": [2]}]) == ((1,), {"a": (2,)})


# -------------------------------------------------------------------------------------- prompts


def test_a_prompt_is_hashed_by_its_new_part_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    from cogitate.core import prompt as room

    hashed = 0

    class Counted:
        @staticmethod
        def blake2b(data: bytes, **options: Any) -> Any:
            nonlocal hashed
            hashed += len(data)
            return hashlib.blake2b(data, **options)

    monkeypatch.setattr(room, "hashlib", Counted)
    grown = Prompt.raw("x" * 20_000)
    for _ in range(500):
        grown = grown.then("a step of some words. ")
        Generate(grown, seed=0).key()
    assert hashed < 20_000 + 500 * 100


def test_equal_prompts_have_equal_digests_and_different_ones_do_not() -> None:
    made = [
        Prompt.raw("ab"),
        Prompt.raw("a").then("b"),
        Prompt.raw("a").then("b", (1,)),
        Prompt.raw("").then("ab"),
        Prompt.tokens((97, 98)),
        Prompt.chat(Message("user", "ab")),
        Prompt.chat(Message("assistant", "ab")),
        Prompt.chat(Message("user", "a"), Message("user", "b")),
        Prompt.chat(Message("user", "ab", (Attachment("image/png", "d"),))),
        Prompt.chat(Message("user", "ab", (Attachment("image/png", "", "d"),))),
        Prompt.raw("a\ud83d\ude00"),
        Prompt.raw("a\U0001f600"),
    ]
    assert len({p.digest for p in made}) == len(made)
    assert Prompt.raw("a").then("b") == Prompt.raw("a").then("b")
    for prompt in made:
        again: Prompt | None = None
        for part in reversed(list(prompt.chain())):
            again = Prompt.from_body(again, through_a_file(part.body())["part"])
        assert again == prompt


def test_a_long_chain_neither_recurses_nor_loses_its_parts() -> None:
    grown = Prompt.raw("q")
    for number in range(5000):
        grown = grown.then(f"{number} ")
    assert grown.depth == 5001
    assert grown.prefill.split()[-1] == "4999"
    assert grown.base == Prompt.raw("q")
    assert grown.size == 1 + len(grown.prefill)


# ---------------------------------------------------------------------------------------- seeds


def test_seeds_are_addresses() -> None:
    from cogitate.core.seeds import Seed

    seed = Seed(5)
    assert seed.at("a").at("b", 2) == seed.at("a", "b", 2)
    labels = [(), ("a",), ("b",), (1,), ("1",), ("a", "b"), ("ab",), ("a", 1), (1, "a"), ("a", "1")]
    assert len({seed.at(*path).int() for path in labels}) == len(labels)
    assert Seed(1).int() != Seed(2).int()
    assert 0 <= seed.int() < 2**52
    drawn = [seed.at("x").rng().random() for _ in range(2)]
    assert drawn[0] == drawn[1], "using a generator consumes nothing"
    assert seed.at("sample", 3).int() == 1760524935330036  # pinned: journals hold it


def test_equal_numbers_of_two_types_have_one_digest_whichever_came_first() -> None:
    from cogitate.core.requests import _settings

    keys: set[str] = set()
    for order in ((0, 0.0), (0.0, 0)):
        _settings.cache_clear()
        keys |= {Generate(PROMPT, seed=0, sampling=Sampling(t)).key() for t in order}
    assert len(keys) == 1
