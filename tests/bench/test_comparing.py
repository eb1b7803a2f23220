"""Two runs question by question; what is missing is said."""

from __future__ import annotations

import json
import re

import pytest

from cogitate.apps.cli import main
from cogitate.bench.comparing import Side, compare
from cogitate.bench.comparison_page import markdown
from cogitate.bench.results import Cell, Found, Key, Outcome
from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Usage
from cogitate.rules.statistics import mcnemar


def cell(
    rights, *, strategy="greedy()", model="small", seed=0, tokens=10, first=0, task="sums", n=None
):
    outcomes = [
        Outcome(
            f"q{i}",
            None if r is None else "4",
            bool(r),
            usage={"policy": Usage(tokens_out=tokens, calls=1, flops=None)},
        )
        for i, r in enumerate(rights, start=first)
    ]
    return Cell(Key(task, model, strategy, seed=seed), outcomes, strategy.partition("(")[0], n)


def side(*cells, name="a", **chosen):
    return Side(name, Found({}, cells), **chosen)


def pattern(*counts):
    return [bool(value) for value, count in counts for _ in range(count)]


def test_the_difference_is_the_second_less_the_first():
    before, after = pattern((1, 10), (0, 10)), pattern((1, 18), (0, 2))
    found = compare(side(cell(before)), side(cell(after, tokens=30), name="b"))
    (pair,) = found.pairs
    assert pair.difference.estimate == pytest.approx(0.4)
    assert (pair.difference.wins, pair.difference.losses, pair.difference.ties) == (8, 0, 12)
    assert pair.difference.p == mcnemar(after, before).p == pair.adjusted
    assert pair.difference.low > 0
    assert (pair.accuracy_first.estimate, pair.accuracy_second.estimate) == (0.5, 0.9)
    assert pair.costs["tokens_out"].estimate == pytest.approx(3.0)
    assert pair.costs["flops"] is None
    assert not pair.worse


def test_worse_is_beyond_chance_with_all_comparisons_counted():
    good, bad = pattern((1, 20)), pattern((1, 13), (0, 7))
    one = compare(side(cell(good)), side(cell(bad), name="b"))
    assert one.pairs[0].worse  # p = 1/64
    several = [cell(good, task=f"t{i}") for i in range(4)]
    others = [cell(bad if i == 0 else good, task=f"t{i}") for i in range(4)]
    found = compare(side(*several), side(*others, name="b"))
    assert found.pairs[0].adjusted == pytest.approx(4 / 64)
    assert not any(p.worse for p in found.pairs)
    assert "Holm" in found.note


def test_only_questions_that_both_have_count_and_the_rest_is_told():
    found = compare(side(cell([True] * 10)), side(cell([False] * 10, first=6), name="b"))
    (pair,) = found.pairs
    assert pair.difference.n == 4
    assert pair.only_first == ("q0", "q1", "q2", "q3", "q4", "q5")
    assert len(pair.only_second) == 6
    page = markdown(found)
    assert (
        "6 questions are only in the first (q0, q1, q2, …) and 6 questions are only in the second"
        in page
    )


def test_no_question_in_common_is_refused():
    with pytest.raises(InvalidInput, match="no question of sums in common"):
        compare(side(cell([True])), side(cell([True], first=5), name="b"))


def test_two_strategies_of_one_run():
    run = Found(
        {}, (cell(pattern((1, 4), (0, 6))), cell(pattern((1, 9), (0, 1)), strategy="majority(n=8)"))
    )
    found = compare(Side("a", run, "greedy()"), Side("a", run, "majority(n=8)"))
    assert (found.pairs[0].first, found.pairs[0].second) == ("greedy()", "majority(n=8)")
    assert compare(Side("a", run, "greedy()"), Side("a", run, "majority")).pairs == found.pairs


def test_a_strategy_may_be_spelt_otherwise():
    run = Found({}, (cell([True]), cell([True], strategy="self_consistency()")))
    found = compare(Side("a", run, "greedy"), Side("a", run, "self_consistency(n=16)"))
    assert found.pairs[0].second == "self_consistency()"


def test_two_models_of_one_run():
    run = Found({}, (cell([True, False]), cell([True, True], model="big")))
    found = compare(Side("a", run, model="small"), Side("a", run, model="big"))
    assert (found.pairs[0].first, found.pairs[0].second) == ("small", "big")


def test_cells_without_a_partner_are_told():
    left = side(cell([True]), cell([True], strategy="majority(n=8)"))
    right = side(cell([True]), cell([True], strategy="beam_search()"), name="b")
    found = compare(left, right)
    assert found.unmatched_first == ("sums / small / majority(n=8)",)
    assert found.unmatched_second == ("sums / small / beam_search()",)
    assert "Only in the second: sums / small / beam_search()." in markdown(found)
    with pytest.raises(InvalidInput, match="no cell in common"):
        compare(
            side(cell([True]), cell([True], strategy="x()")),
            side(cell([True], strategy="y()"), cell([True], strategy="z()"), name="b"),
        )


def test_seeds_are_one_cell_and_the_question_is_the_unit():
    left = side(cell([True, True]), cell([False, True], seed=1))
    right = side(cell([False, False]), cell([False, True], seed=1), name="b")
    (pair,) = compare(left, right).pairs
    assert pair.difference.n == 2
    assert pair.difference.estimate == pytest.approx(0.25 - 0.75)
    assert pair.difference.test == "permutation"


def test_abstentions_are_wrong_and_told():
    found = compare(side(cell([True, None, None])), side(cell([True, True, None]), name="b"))
    assert found.pairs[0].abstained == (2, 1)
    assert found.pairs[0].accuracy_first.estimate == pytest.approx(1 / 3)
    assert "abstained 2 against 1" in markdown(found)


def test_a_side_without_outcomes_names_what_there_is():
    run = Found({}, (cell([True]), cell([], strategy="late()")))
    with pytest.raises(
        InvalidInput, match=r"no outcomes of strategy 'late\(\)'; it has those of greedy\(\)"
    ):
        compare(Side("a", run, "late()"), Side("a", run))


def test_hostile_names_stay_cells_of_the_table():
    evil = "<script>|\n# [x](javascript:y)"
    page = markdown(
        compare(side(cell([True], task=evil)), side(cell([False], task=evil), name="b|c"))
    )
    assert "<script>" not in page
    assert "\n# [" not in page
    assert "[x](" not in page
    row = page.splitlines()[4]
    assert len(re.split(r"(?<!\\)\|", row)) == 13  # 11 cells between 12 bars


# --------------------------------------------------------------------------------------- the command


@pytest.fixture
def runs(monkeypatch, tmp_path):
    held = {
        "good": Found(
            {}, (cell(pattern((1, 20))), cell(pattern((1, 20)), strategy="majority(n=8)"))
        ),
        "bad": Found({}, (cell(pattern((1, 8), (0, 12))),)),
    }
    for name in held:
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("cogitate.bench.folder.load", lambda path: held[path.name])


def test_the_command_informs(runs, capsys):
    assert main(["bench", "compare", "good", "bad"]) == 0
    said = capsys.readouterr().out
    assert "# good against bad" in said
    assert "-60.0" in said


def test_the_command_fails_where_it_is_told_to(runs, capsys):
    assert main(["bench", "compare", "good", "bad", "--fail-if-worse"]) == 3
    assert main(["bench", "compare", "bad", "good", "--fail-if-worse"]) == 0


def test_the_command_speaks_json(runs, capsys):
    assert main(["bench", "compare", "good#greedy()", "good#majority(n=8)", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["pairs"][0]["difference"]["kind"] == "difference"
    assert said["pairs"][0]["second"] == "majority(n=8)"
    assert said["worse"] == []


def test_the_command_writes_its_page(runs, capsys, tmp_path):
    assert main(["bench", "compare", "good", "bad", "--out", "page.md", "--json"]) == 0
    assert (tmp_path / "page.md").read_text("utf-8").startswith("# good against bad")
