from __future__ import annotations

import io

import pytest
from rich.console import Console

from cogitate.apps.render import (
    Grid,
    accuracy_table,
    candidate_table,
    cost_lines,
    count,
    paper_table,
)
from cogitate.claims import status_of
from cogitate.core.candidates import Artifact, Candidate, Score, Unscored
from cogitate.core.usage import Usage
from cogitate.lab import accuracy_curve, open_pool, packaged_pools
from cogitate.recipes import cards

EVIL = "[red]x[/red]\x1b[2J\x1b]0;t\x07 :bomb:"


def shown(table: Grid, encoding: str = "utf-8", width: int = 80) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    Console(file=file, width=width, force_terminal=False).print(table)
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_the_accuracy_table_fits_80_columns_whole(encoding: str) -> None:
    curve = accuracy_curve(open_pool(packaged_pools()[0]))
    text = shown(accuracy_table(curve), encoding)
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text  # nothing is cut
    for line in curve.lines:
        for point in line.points:
            assert f"{100 * point.value:.1f}%" in text
            dash = "–" if encoding == "utf-8" else "-"
            assert f"{100 * point.low:.0f}{dash}{100 * point.high:.0f}" in text


def test_costs_by_role_sum_up_and_unknown_is_said() -> None:
    table = cost_lines(
        {
            "policy": Usage(tokens_in=120_000, tokens_out=58, calls=8, usd=None),
            "judge": Usage(tokens_in=10, tokens_out=2, calls=1, seconds=1.25),
            "grader": Usage(),
        }
    )
    assert table.head == ("role", "calls", "tokens in", "tokens out", "seconds", "money")
    assert table.rows == (
        ("judge", "1", "10", "2", "1.2", "$0.0000"),
        ("policy", "8", "120k", "58", "0.0", "unknown"),
        ("all", "9", "120k", "60", "1.2", "unknown"),
    )
    assert table.bold == {2}


def test_one_role_needs_no_sum_unless_it_differs() -> None:
    one = Usage(tokens_out=5, calls=1)
    assert len(cost_lines({"policy": one}).rows) == 1
    assert len(cost_lines({"policy": one}, total=one + one).rows) == 2
    assert cost_lines({}).rows == (("all", "0", "0", "0"),)
    assert "estimated" in cost_lines({"policy": Usage(calls=1, estimated=True)}).caption


def test_candidates_show_hostile_text_as_text() -> None:
    items = [
        Candidate(Artifact(EVIL, answer=EVIL), Score(0.5)),
        Candidate(Artifact("cut\noff", complete=False), Unscored("no answer")),
    ]
    for encoding in ("utf-8", "ascii"):
        text = shown(candidate_table(items * 6), encoding)
        assert "\x1b" not in text
        assert "[red]x[/red] :bomb:" in text
        assert "cut off" in text
        assert "(none)" in text
        assert "and 4 more" in text
    assert candidate_table([]).rows == ()


@pytest.mark.parametrize("wide", [False, True])
def test_the_paper_table_shows_all_38(wide: bool) -> None:
    papers = [(card, status_of(card.id)) for card in cards()]
    text = shown(paper_table(papers, wide=wide), width=140 if wide else 80)
    assert max(map(len, text.splitlines())) <= (140 if wide else 80)
    for paper, status in papers:
        [row] = [line for line in text.splitlines() if line.lstrip().startswith(f"{paper.id} ")]
        assert status in row
        if not wide:
            assert paper.slug in text  # never broken or cut


def test_numbers_are_short_and_not_wrong() -> None:
    assert [count(v) for v in (0, 9999, 10_000, 123_456, 1e9, 2.5e18)] == [
        "0",
        "9999",
        "10k",
        "123k",
        "1G",
        "2.5e+03P",
    ]


def test_a_grid_prints_what_it_is_given() -> None:
    text = shown(Grid((EVIL, "b"), ((EVIL, "1"),), title=EVIL, caption=EVIL))
    assert "\x1b" not in text
    assert text.count("[red]x[/red] :bomb:") == 4


def test_numbers_and_their_heading_stay_whole_when_room_is_short() -> None:
    """Texts give way first, also where no candidate has a score."""
    from rich.console import Console

    from cogitate.core.candidates import Artifact, Candidate, Unscored

    long = Artifact("word " * 60, answer="word " * 30)
    rows = [Candidate(long, Unscored("it could not be judged"), "0")]
    console = Console(width=60, record=True)
    console.print(candidate_table(rows))
    assert "score" in console.export_text()
