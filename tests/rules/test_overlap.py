from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.rules import answer_tokens, exact_match, token_f1

WORDS = st.lists(
    st.sampled_from(["a", "oak", "Oak!", "elm", "the", "yes", "no", "3.5"]), max_size=6
)


@pytest.mark.parametrize(
    ("answer", "reference", "f1"),
    [
        ("Chief of Protocol", "the chief of protocol.", 1.0),
        ("oak elm", "oak", 2 / 3),
        ("oak oak", "oak", 2 / 3),  # a word counts as often as it occurs
        ("yes", "yes", 1.0),
        ("yes", "yes it is", 0.0),
        ("no", "none", 0.0),
        ("", "oak", 0.0),
        ("the", "a", 0.0),
    ],
)
def test_known_values(answer: str, reference: str, f1: float) -> None:
    assert token_f1(answer, reference) == pytest.approx(f1)


@given(WORDS.map(" ".join), WORDS.map(" ".join))
def test_overlap_is_symmetric_bounded_and_full_where_it_matches(one: str, other: str) -> None:
    assert 0.0 <= token_f1(one, other) == token_f1(other, one) <= 1.0
    assert exact_match(one, other) == exact_match(other, one)
    if exact_match(one, other):
        assert token_f1(one, other) == 1.0
    assert exact_match(one, one) == bool(answer_tokens(one))


def test_articles_case_and_punctuation_do_not_count() -> None:
    assert answer_tokens('An "Oak-tree", the ELM') == ("oaktree", "elm")
    assert not exact_match("oak elm", "elm oak")
