from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.core.candidates import Candidate, Score, Unscored
from cogitate.core.errors import InvalidInput
from cogitate.core.seeds import Seed
from cogitate.search import Constant, Linear, SampleK, Schedule, Table, TopK, TopKSpread, at

scores = st.lists(st.one_of(st.floats(-5, 5).map(Score), st.just(Unscored("dead"))), max_size=10)


@given(
    scores,
    st.integers(0, 12),
    st.sampled_from([TopK(), TopKSpread(2), SampleK(0.7)]),
    st.integers(0, 99),
)
def test_a_selection_is_a_subset_of_at_most_k(found, k, select, seed):
    given_ = [Candidate(i, s, str(i), str(i % 3)) for i, s in enumerate(found)]
    kept = select(given_, k, Seed(seed))
    assert len(kept) <= k
    assert len({c.id for c in kept}) == len(kept)
    assert all(c in given_ for c in kept)
    assert list(kept) == list(select(given_, k, Seed(seed)))


def test_top_k_is_stable_and_puts_the_unscored_last():
    given_ = [
        Candidate(i, s, str(i))
        for i, s in enumerate([Unscored("x"), Score(1.0), Score(2.0), Score(1.0)])
    ]
    assert [c.id for c in TopK()(given_, 4, Seed(0))] == ["2", "1", "3", "0"]


@given(st.integers(0, 50))
def test_schedules_are_pure_and_never_below_one(depth):
    for schedule in (Constant(0.2), Linear(9, 0, over=7), Table((5, 3))):
        assert isinstance(schedule, Schedule)
        assert at(schedule, depth) == at(schedule, depth) >= 1


def test_schedules_are_refused_early():
    with pytest.raises(InvalidInput, match="empty table"):
        Table(())
    with pytest.raises(InvalidInput, match="0 depths"):
        Linear(4, 1, over=0)
