"""The names of verifiers in specs: what they make, and what the process is asked for because of them."""

from __future__ import annotations

import pytest

from cogitate import scorers
from cogitate.assembly.spec import read
from cogitate.core.errors import InvalidInput
from cogitate.search import ConfidentVote


def made(spec: str):
    return read(spec, "scorer").for_kind("math")


def test_names_make_what_they_say() -> None:
    assert made("orm()") == scorers.OutcomeReward()
    assert made('confidence("tail", window=9, top=3)') == scorers.Confidence("tail", 9, 3)
    assert made('entropy(over="highest", order="min")') == scorers.Entropy(5, "highest", "min")
    assert made("perplexity()") == scorers.Perplexity()
    assert made("weighted(keep_top(share=0.1))") == scorers.Weighted(
        scorers.KeepTop(scorers.Confidence(), 0.1)
    )
    assert made('medoid("answer")') == scorers.Medoid("answer")
    assert made('clusters(0.2, linkage="single")') == scorers.Clusters(0.2, "single")
    assert made("clustered(orm())") == scorers.Clustered(scorers.OutcomeReward())
    assert made('tool_calls(["id"], hierarchical=True)') == scorers.ToolCallVote(("id",), True)


def test_names_combine() -> None:
    parts = (scorers.ProcessReward("min"), scorers.OutcomeReward())
    assert made('all_of((prm("min"), orm()), mark=0.5)') == scorers.AllOf(parts, (0.5, 0.5))
    assert made('any_of([prm("min"), orm()])') == scorers.AnyOf(parts)
    ensemble = 'ensemble((prm("min"), orm()), weights=(2, 1), missing="leave_out")'
    assert made(ensemble) == scorers.Ensemble(parts, (2.0, 1.0), missing="leave_out")
    said = str(read(ensemble, "scorer"))
    assert read(said, "scorer") == read(ensemble, "scorer")
    assert made("all_of()").scorers == (scorers.Majority(), scorers.Judge())


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("best_of(scorer=weighted(keep_top(confidence(top=7))))", 7),
        ("best_of(scorer=ensemble((majority(), perplexity(), entropy(top=3))))", 3),
        ("best_of(scorer=clustered(mean_logprob()))", 0),
        ("best_of(scorer=all_of((majority(), orm())))", -1),
        ("confident_vote(top=4)", 4),
    ],
)
def test_log_probabilities_are_asked_for_through_wrappers(spec: str, wanted: int) -> None:
    assert read(spec).for_kind("math").process.logprobs == wanted


def test_the_confident_vote_reads_one_window_throughout() -> None:
    solve = read("confident_vote(n=16, warmup=4, keep=0.5, window=32, top=3)").for_kind("math")
    assert solve.search == ConfidentVote(16, 4, 0.5, window=32, top=3)
    assert solve.scorer == scorers.Weighted(scorers.Confidence("lowest", 32, 3))


@pytest.mark.parametrize(
    "spec",
    [
        "confidence(window=0)",
        "confidence(share=2.0)",
        "entropy(top=1)",
        "keep_top(share=0)",
        "clusters(distance=3)",
        'tool_calls([""])',
        "ensemble((majority(),), weights=(1, 2))",
        "all_of((greedy(),))",
    ],
)
def test_senseless_numbers_are_refused_when_the_spec_is_read(spec: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(spec, "scorer")
    assert "\n" not in str(caught.value)
