"""The small parts of the HTTP engine: secrets, events, counts, capabilities."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.core.errors import InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Choice, Generate
from cogitate.core.task import Message
from cogitate.core.usage import Usage
from cogitate.engines.openai import DIALECTS, Capabilities, OpenAICompatible, Price, Secret, assumed
from cogitate.engines.openai.pieces import read
from cogitate.engines.openai.sse import EventReader
from cogitate.engines.openai.tally import Counted, about_in, counted, most_in, split
from cogitate.engines.openai.wire import violation


def test_a_secret_never_shows():
    key = Secret("sk-abc", "MY_KEY")
    shown = [
        repr(key),
        str(key),
        f"{key}",
        f"{key!r:>40}",
        repr([key]),
        repr({"k": key}),
        repr(dir(key)),
    ]
    assert not any("sk-abc" in text for text in shown)
    assert key.reveal() == "sk-abc"
    for copying in (copy.copy, copy.deepcopy, pickle.dumps, json.dumps):
        with pytest.raises(TypeError) as refusal:
            copying(key)
        assert "sk-abc" not in str(refusal.value)
    assert not hasattr(key, "__dict__")
    assert key != Secret("sk-abc", "MY_KEY")


@pytest.mark.parametrize("value", ["", " ", "a b", "a\nb", "a\r\nX: y", "schlüssel", "a\x00"])
def test_a_secret_that_no_header_can_hold_is_refused_without_showing_it(value):
    with pytest.raises(InvalidInput, match="MY_KEY") as refusal:
        Secret(value, "MY_KEY")
    assert not value.strip() or value not in str(refusal.value)


def test_a_secret_comes_from_a_named_variable():
    assert Secret.named("K", {"K": " v \n"}).reveal() == "v"
    assert Secret.named("K", {}) is None
    assert Secret.named("K", {"K": "  "}) is None


@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_characters="\n\r", codec="utf-8"), max_size=8),
        max_size=6,
    ),
    st.integers(1, 9),
    st.sampled_from(["\n", "\r\n"]),
)
def test_events_do_not_depend_on_how_the_bytes_are_cut(texts, size, line):
    stream = "".join(f": ping{line}data: {text}{line}{line}" for text in texts).encode()
    reader, found = EventReader(), []
    for start in range(0, len(stream), size):
        found += reader.feed(stream[start : start + size])
    assert found + reader.end() == texts


def test_an_event_of_several_lines_and_one_without_its_end():
    reader = EventReader()
    assert reader.feed(b"event: x\ndata: 1\ndata: 2\nid: 7\n\ndata: 3") == ["1\n2"]
    assert reader.end() == ["3"]


@given(st.integers(0, 10_000), st.lists(st.integers(0, 500), max_size=9))
def test_split_sums_to_the_total_and_keeps_proportions(total, weights):
    parts = split(total, weights)
    assert sum(parts) == (total if weights else 0)
    assert all(part >= 0 for part in parts)
    if sum(weights):
        exact = [total * weight / sum(weights) for weight in weights]
        assert all(abs(part - share) < 1 for part, share in zip(parts, exact, strict=True))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "usage",
                        "prompt_tokens",
                        "completion_tokens",
                        "choices",
                        "message",
                        "content",
                        "logprobs",
                        "index",
                        "finish_reason",
                        "tokens",
                        "top_logprobs",
                        "stop",
                        "prompt_tokens_details",
                        "cached_tokens",
                        "timings",
                        "token_ids",
                        "delta",
                        "stop_reason",
                        "completion_probabilities",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_hostile_replies_are_read_without_a_crash(raw):
    for route in ("chat", "completions", "native"):
        for piece in read(route, raw):
            assert isinstance(piece.text, str)
            assert piece.index >= 0
    found = counted(raw)
    if found is not None:
        assert 0 <= found.cached <= found.tokens_in
        assert 0 <= found.reasoning <= found.tokens_out


def test_counts_under_every_name():
    assert counted({"usage": {"prompt_tokens": 5, "completion_tokens": 2}}) == Counted(5, 2)
    more = {
        "usage": {
            "prompt_tokens": 5,
            "completion_tokens": 2,
            "cached_tokens": 9,
            "reasoning_tokens": 9,
        }
    }
    assert counted(more) == Counted(5, 2, 5, 2, True)
    assert counted({"prompt_eval_count": 5, "eval_count": 2}) == Counted(5, 2)
    assert counted({"usage": {"prompt_tokens": 5, "total_tokens": 5}}) == Counted(5, 0)
    assert counted(
        {"usage": {"prompt_tokens": 5, "completion_tokens": 2}, "timings": {"cache_n": 4}}
    ) == Counted(5, 2, 4, 0, True)
    assert counted(
        {"usage": {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": None}}
    )
    for wrong in (
        {},
        None,
        [],
        {"usage": None},
        {"usage": {"prompt_tokens": -1}},
        {"usage": {"prompt_tokens": "5"}},
    ):
        assert counted(wrong) is None


@given(st.text(max_size=200), st.text(max_size=50))
def test_estimates_stay_below_the_ceiling(text, begun):
    prompt = Prompt.chat(Message("user", text)).then(begun).then("x", (1, 2, 3))
    assert 0 < about_in(prompt) <= most_in(prompt)


def test_money_is_unknown_without_a_price():
    request = Generate(Prompt.raw("abcd"), seed=1, max_tokens=10)
    engine = OpenAICompatible("http://h", "m")
    most = engine.ceiling(request)
    assert (most.usd, most.tokens_out, most.calls) == (None, 10, 1)
    assert most.tokens_in >= 4
    priced = OpenAICompatible("http://h", "m", price=Price(1e6, 1e6)).ceiling(request)
    assert priced.usd == most.tokens_in + most.tokens_out
    assert isinstance(priced, Usage)


def test_the_fingerprint_names_the_server_and_the_model():
    engine = OpenAICompatible("https://h:8/v1", "m", dialect="sglang", key=Secret("sk-x", "K"))
    assert engine.fingerprint == "sglang https://h:8 m"
    assert (
        engine.with_capabilities(Capabilities("vllm", "0.9")).fingerprint
        == "vllm 0.9 https://h:8 m"
    )


def test_a_wrong_dialect_and_no_model_are_refused():
    with pytest.raises(InvalidInput, match="generic, llamacpp"):
        OpenAICompatible("http://h", "m", dialect="olama")
    with pytest.raises(InvalidInput, match="no model"):
        OpenAICompatible("http://h", "")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_capabilities_print_and_survive_json(dialect):
    caps = assumed(dialect)
    raw = json.loads(json.dumps(caps.as_dict()))
    assert Capabilities.from_dict(raw) == caps
    assert Capabilities.from_dict(raw | {"from_the_future": 1}) == caps
    assert len(str(caps).splitlines()) == len(raw) - 1
    with pytest.raises(InvalidInput):
        Capabilities.from_dict({"dialect": "olama"})


def test_only_finished_outputs_are_held_against_a_constraint():
    request = Generate(Prompt.raw("x"), seed=1, constraint=Choice(("yes",)))
    assert violation(request, "yes") == ""
    assert "none of the 1 choices" in violation(request, "no")


def test_importing_the_engine_imports_no_http_client():
    code = "import sys, cogitate.engines.openai; sys.exit('aiohttp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
