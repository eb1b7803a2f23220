"""Predicates on tokens: the sliding window against brute force, the journal's round trip."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.core.codec import decode, encode
from cogitate.core.errors import InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Generate
from cogitate.core.until import (
    ConfidenceBelow,
    Contains,
    Matches,
    Repeats,
    Until,
    Watching,
    tokens_read,
    unwatched,
)
from cogitate.rules.confidence import group_means, token_confidence

places = st.lists(st.lists(st.floats(-30, 0), max_size=6), max_size=60)


def fires_at(predicate: ConfidenceBelow, tokens: list[list[float]]) -> int | None:
    watch = predicate.watch()
    return next((i for i, likeliest in enumerate(tokens) if watch.add(likeliest)), None)


@given(places, st.integers(1, 12), st.integers(1, 5), st.floats(0, 30))
def test_it_fires_at_the_first_full_window_below_the_threshold(tokens, window, top, threshold):
    expected = None
    for end in range(1, len(tokens) + 1):
        known = [sorted(t)[-top:] for t in tokens[:end] if t][-window:]
        means = [-math.fsum(t) / len(t) for t in known]
        if len(means) == window and tokens[end - 1]:
            mean = math.fsum(means) / window
            if abs(mean - threshold) < 1e-9:
                return  # within rounding of the threshold
            if mean < threshold:
                expected = end - 1
                break
    assert fires_at(ConfidenceBelow(threshold, window, top), tokens) == expected


@given(places, st.integers(1, 12), st.integers(1, 5))
def test_it_agrees_to_the_bit_with_the_rule_that_makes_the_threshold(tokens, window, top):
    values = [v for t in tokens if (v := token_confidence(t, top)) is not None]
    if len(values) < window:
        assert fires_at(ConfidenceBelow(1e9, window, top), tokens) is None
        return
    lowest = min(group_means(values, window))
    assert fires_at(ConfidenceBelow(lowest, window, top), tokens) is None
    above = math.nextafter(lowest, math.inf)
    assert fires_at(ConfidenceBelow(above, window, top), tokens) is not None


def test_what_is_not_a_number_does_not_count():
    predicate = ConfidenceBelow(2.0, window=2, top=2)
    assert fires_at(predicate, [[-1.0], [-math.inf], [], [math.nan], [-1.0, -math.inf]]) == 4


@pytest.mark.parametrize(
    "until",
    [Contains("a"), Matches("a"), Repeats(), ConfidenceBelow(1), ConfidenceBelow(2.5, 7, 3)],
)
def test_every_predicate_reads_back_as_itself(until):
    again = decode(Until, encode(until))
    assert (again, type(again)) == (until, type(until))
    request = Generate(Prompt.raw("?"), seed=1, logprobs=5, until=(until,))
    assert Generate.from_body(request.body(), {request.prompt.digest: request.prompt}) == request


def test_equal_predicates_have_equal_digests_and_others_differ():
    def key(until):
        return Generate(Prompt.raw("?"), seed=1, logprobs=5, until=until).key()

    keys = [key(()), key((ConfidenceBelow(1),)), key((ConfidenceBelow(2),)), key((Repeats(),))]
    assert len(set(keys)) == 4
    assert key((ConfidenceBelow(1.0),)) == keys[1]
    assert repr(ConfidenceBelow(1)) == repr(ConfidenceBelow(1.0))  # what a digest is made of


def test_text_and_tokens_are_told_apart():
    watching = Watching((Contains("b"), ConfidenceBelow(1.0, window=2, top=1)))
    assert watching("a", [[-0.1]]) is None
    assert watching("ab", [[-0.1]]) == "until"
    assert Watching((ConfidenceBelow(1.0, window=2, top=1),))("a", [[-0.1], [-0.2]]) == "limit"
    assert not Watching(())


def test_needs_are_said():
    assert tokens_read((Contains("a"),)) == 0
    assert unwatched((Contains("a"),), -1) == ""
    assert "logprobs=2" in unwatched((ConfidenceBelow(1.0, top=5),), 2)
    for wrong in ({"window": 0}, {"top": 0}):
        with pytest.raises(InvalidInput, match="at least 1"):
            ConfidenceBelow(1.0, **wrong)
    with pytest.raises(InvalidInput, match="finite"):
        ConfidenceBelow(math.nan)
