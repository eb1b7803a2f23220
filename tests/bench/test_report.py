"""Reports: equal for equal runs, safe against what models write, honest about what is left out."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Collection
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from report_harness import (
    HOSTILE,
    made_journals,
    made_pool,
    made_run,
    made_texts,
    outcome,
)

from cogitate.apps.cli import main
from cogitate.bench.metrics.cells import table
from cogitate.bench.metrics.curves import at_equal_cost
from cogitate.bench.metrics.how_well import how_well
from cogitate.bench.report import journal_files, no_journals, write
from cogitate.bench.report.comparisons import baseline_line, compared
from cogitate.bench.report.figures import in_unit
from cogitate.bench.report.marking import clipped, in_markdown, in_script, visible
from cogitate.bench.report.pages import pages_of
from cogitate.bench.report.sampling import ALL, NONE, SPLIT, chosen_questions
from cogitate.bench.results import Cell, Found, Key
from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Budget
from cogitate.drive import FileJournal


def no_texts(task: str, ids: Collection[str]) -> dict[str, tuple[str, str | None]]:
    return {}


def written(found: Found, folder: Path, **options: Any) -> tuple[str, str]:
    options = {"texts": no_texts, **options}
    pages = write(found, folder, **options)
    return pages[0].read_text("utf-8"), pages[1].read_text("utf-8")


def held(page: str) -> dict[str, Any]:
    found = re.search(
        r'<script type="application/json" id="bench-data">(.*?)</script>', page, re.DOTALL
    )
    assert found is not None
    return json.loads(found[1])


class Reader(HTMLParser):
    """Which elements a page has, and what is said in them."""

    VOID = frozenset({"meta", "input", "br", "path", "circle", "link", "img"})

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.said: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append((self.open[-1] if self.open else "", data))


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert reader.open == []
    return reader


# ------------------------------------------------------------------------------- the same, and alone


def test_equal_runs_have_equal_reports_whatever_the_machine(tmp_path: Path) -> None:
    first = written(made_run(seconds=1.0), tmp_path / "a", journals=made_journals)
    second = written(made_run(seconds=99.0), tmp_path / "b", journals=made_journals)
    assert first == second
    timings = [(tmp_path / name / "report-timing.md").read_text("utf-8") for name in "ab"]
    assert "machine 99" in timings[1]
    assert timings[0] != timings[1]
    assert "machine" not in first[0] + first[1]


def test_a_different_answer_changes_the_report(tmp_path: Path) -> None:
    run = made_run()
    cell = run.cells[0]
    other = replace(
        cell, outcomes=(outcome("q0", not cell.outcomes[0].correct, 1), *cell.outcomes[1:])
    )
    changed = replace(run, cells=(other, *run.cells[1:]))
    assert written(run, tmp_path / "a") != written(changed, tmp_path / "b")


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    page, _ = written(made_run(), tmp_path, journals=made_journals)
    reader = read(page)
    for tag, attributes in reader.tags:
        assert tag not in ("link", "img", "iframe", "object", "embed", "base", "form")
        assert "style" not in attributes  # the policy would drop it
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "action", "srcset"):
            target = attributes.get(name)
            assert target is None or target.startswith("#"), (tag, name, target)
    assert "url(" not in page
    assert "@import" not in page
    ids = [a["id"] for _, a in reader.tags if "id" in a]
    assert len(ids) == len(set(ids))


def test_only_this_script_and_this_style_may_run(tmp_path: Path) -> None:
    import base64
    import hashlib

    page, _ = written(made_run(), tmp_path)
    policy = next(a["content"] or "" for t, a in read(page).tags if a.get("http-equiv"))
    assert "unsafe" not in policy
    assert policy.startswith("default-src 'none'")
    for pattern, rule in (
        (r"<style>(.*?)</style>", "style-src"),
        (r"<script>(.*?)</script>", "script-src"),
    ):
        inside = re.findall(pattern, page, re.DOTALL)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy


# ---------------------------------------------------------------------------------------- hostility


def test_what_models_write_is_text_everywhere(tmp_path: Path) -> None:
    run = made_run(hostile=True)
    page, markdown = written(run, tmp_path, journals=made_journals, texts=made_texts)
    reader = read(page)
    scripts = [a.get("type") for t, a in reader.tags if t == "script"]
    assert scripts == ["application/json", None]
    assert not [t for t, _ in reader.tags if t in ("img", "b") and "onerror" in str(_)]
    for text in (page, markdown):
        assert "\u202e" not in text
        assert "\x1b" not in text
        assert "\x00" not in text
        text.encode("utf-8")  # no unpaired surrogate
    assert "window.hacked" in html.unescape(page)  # it is shown, and not dropped
    texts = held(page)["texts"]
    assert any(HOSTILE[0] in text for text in texts)
    assert any("⟨U+202E⟩right⟨U+D800⟩" in text for text in texts)


def test_markdown_tables_keep_their_columns(tmp_path: Path) -> None:
    _, markdown = written(replace(made_run(hostile=True), pools=(made_pool(),)), tmp_path)
    columns = 0
    for line in markdown.splitlines():
        if not line.startswith("|"):
            columns = 0
            continue
        count = len(re.split(r"(?<!\\)\|", line)) - 2
        columns = columns or count
        assert count == columns, line
    prose = re.sub(r"^```json\n.*?^```$", "", markdown, flags=re.DOTALL | re.MULTILINE)
    assert "```" not in prose
    assert not re.search(r"(?<!\\)<", prose)
    assert not re.search(r"(?<!\\)\[", prose)


@pytest.mark.parametrize("text", [*HOSTILE, "\u2028\u2029", "a\u0301\u0301\u0301\u0301\u0301b"])
def test_escaping(text: str) -> None:
    inside = in_script({"t": visible(text)})
    assert "<" not in inside
    assert json.loads(inside) == {"t": visible(text)}
    assert visible(visible(text)) == visible(text)
    assert "\n" not in in_markdown(text)
    assert len(visible(text).encode()) < 40 + 12 * len(text)


def test_clipping_keeps_both_ends_and_whole_words() -> None:
    text = "one two three four five six seven eight nine ten eleven twelve"
    said = clipped(text, 40)
    assert len(said) <= 40
    head, tail = said.split(" … ")
    assert text.startswith(head + " ")
    assert text.endswith(" " + tail)
    assert clipped("short", 40) == "short"


# ---------------------------------------------------------------------------------- what is written


def test_every_number_of_the_table_is_the_metrics_own(tmp_path: Path) -> None:
    run = made_run()
    page, markdown = written(run, tmp_path)
    start = markdown.index("| strategy | N | accuracy, % | coverage, % |")
    lines = [line.split("|")[1:-1] for line in markdown[start:].split("\n\n")[0].splitlines()[2:]]
    rows = table(run).rows
    assert len(lines) == len(rows) == 8
    for row, cells in zip(rows, lines, strict=True):
        said = [cell.strip().replace("*", "").replace("\\", "") for cell in cells]
        assert said[1] == str(row.n)
        for value, cell in ((row.accuracy, said[2]), (row.any_right, said[3])):
            want = f"{100 * value.estimate:.1f} [{100 * value.low:.1f}, {100 * value.high:.1f}]"
            assert cell == want
            assert want.replace(" [", " <small>[") in page
        assert said[4].startswith(f"{row.questions} ×")
    best = [cells for cells in lines if "**" in cells[2]]
    assert [cells[1].strip() for cells in best] == ["8"]


def test_coverage_stands_apart(tmp_path: Path) -> None:
    page, _ = written(replace(made_run(), pools=(made_pool(),)), tmp_path)
    charts = re.findall(r"<svg class=\"chart wide\".*?</svg>", page, re.DOTALL)
    kinds = [re.findall(r'<text class="axis"[^>]*>([^<]*)</text>', c)[0] for c in charts]
    assert {k.split()[0] for k in kinds} == {"accuracy", "coverage"}
    for kind, chart in zip(kinds, charts, strict=True):
        dashed = 'class="line dashed"' in chart
        assert dashed == kind.startswith("coverage")
        assert "oracle" not in chart or kind.startswith("coverage")


def test_a_pool_has_every_way_of_choosing_in_one_table(tmp_path: Path) -> None:
    _, markdown = written(replace(made_run(), pools=(made_pool(),)), tmp_path)
    names = ("random pick", "majority", "weighted(prm())", "best_of(prm())", "any of N (oracle)")
    start = markdown.index("| way of choosing | N = 1 |")
    block = markdown[start:].split("\n\n")[0]
    assert [name for name in names if f"| {name} |" in block] == list(names)


def test_the_card_and_licences_are_printed(tmp_path: Path) -> None:
    for text in written(made_run(), tmp_path):
        assert "MIT" in text
        assert "Run card" in text
        assert "abc" in text


def test_a_strategy_without_an_n_is_not_lost(tmp_path: Path) -> None:
    run = made_run()
    key = Key("sums", "small", "greedy()", Budget(), 0)
    alone = Cell(key, tuple(outcome(f"q{i}", i < 9, 1) for i in range(30)), "greedy()", None)
    page, markdown = written(replace(run, cells=(*run.cells, alone)), tmp_path)
    assert "Without an N, and so on the other axes only: greedy." in page
    assert "| greedy |  | 30.0 " in markdown
    by_cost = re.findall(r'<svg class="chart wide".*?</svg>', page, re.DOTALL)
    assert sum('data-name="greedy"' in chart for chart in by_cost) >= 4


def test_waiting_cells_are_told_and_do_not_stop_a_report(tmp_path: Path) -> None:
    run = made_run()
    waiting = Cell(Key("sums", "small", "mcts()", Budget(), 0), (), "mcts()", None)
    page, markdown = written(replace(run, cells=(*run.cells, waiting)), tmp_path)
    assert "1 cell of the grid waited" in page
    assert "1 cell of the grid waited" in markdown


def test_an_empty_run_has_a_report(tmp_path: Path) -> None:
    page, _ = written(Found({}, ()), tmp_path)
    read(page)
    assert "Nothing was run yet." in page


def test_a_number_of_pages_that_no_report_holds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="a report holds from 0 to"):
        write(made_run(), tmp_path, questions=10**6)


# --------------------------------------------------------------------------------------- comparisons


def test_a_difference_is_real_only_after_adjusting() -> None:
    rows = table(made_run(400)).rows
    found = compared(rows)
    assert {c.baseline.line for c in found} == {"self_consistency(n={n})"}
    by_size = {c.row.n: c for c in found}
    assert not by_size[1].real  # the same samples: the two are equal there
    assert by_size[2].real
    assert all(c.adjusted >= c.difference.p for c in found)
    assert all(c.row.n == c.baseline.n for c in found)


def test_one_of_many_comparisons_is_not_real_by_its_own_p_value(tmp_path: Path) -> None:
    def cell(name: str, right: int) -> Cell:
        held = tuple(outcome(f"q{i}", i < right, 1) for i in range(60))
        return Cell(Key("t", "m", name, Budget(), 0), held, name, 1)

    cells = (cell("majority", 20), cell("better", 27), *(cell(f"same{i}", 20) for i in range(8)))
    found = {c.row.strategy: c for c in compared(table(Found({}, cells)).rows)}
    many, _ = written(Found({}, cells), tmp_path / "many")
    assert "No difference to majority at the same N is real" in many
    assert "Really" not in many
    few, _ = written(Found({}, cells[:2]), tmp_path / "few")
    assert "Really better than majority at the same N are better" in few.replace("\u00a0", " ")
    alone = {c.row.strategy: c for c in compared(table(Found({}, cells[:2])).rows)}
    assert found["better"].difference.p == alone["better"].difference.p < 0.05
    assert found["better"].difference.low > 0
    assert alone["better"].real
    assert not found["better"].real


def test_the_baseline_is_the_one_asked_for(tmp_path: Path) -> None:
    rows = table(made_run()).rows
    assert baseline_line(rows) == "self_consistency(n={n})"
    assert baseline_line(rows, "best_of") == "best_of(n={n}, scorer=prm())"
    with pytest.raises(InvalidInput, match="the baseline 'mcts' was asked for; the run has self_"):
        write(made_run(), tmp_path, baseline="mcts", texts=no_texts)
    flipped = compared(rows, "best_of")
    assert {c.baseline.line for c in flipped} == {"best_of(n={n}, scorer=prm())"}


def two_models() -> Found:
    """The run of one model, and a larger one that is right more often and generates thrice as much."""
    small, large = made_run(60), made_run(60, seed=5)
    cells = [
        replace(
            cell,
            key=replace(cell.key, model="large"),
            outcomes=tuple(
                outcome(o.question, o.correct or i % 3 == 0, 3 * (cell.n or 1))
                for i, o in enumerate(cell.outcomes)
            ),
        )
        for cell in large.cells
    ]
    return replace(small, cells=(*small.cells, *cells))


def test_a_larger_model_stands_beside_at_equal_cost(tmp_path: Path) -> None:
    run = two_models()
    _, markdown = written(run, tmp_path, larger="large")
    start = markdown.index("### Beside large at equal cost")
    block = markdown[start:].split("\n#")[0]
    rows = [line for line in block.splitlines() if line.startswith("|")][2:]
    assert len(rows) == 8  # those of the small one
    metrics = table(run)
    for row, line in zip(metrics.of("sums", "small"), rows, strict=True):
        found = at_equal_cost(metrics, row, "large", "tokens")
        want = "–" if found.baseline is None else f"{100 * found.baseline.estimate:.1f}"
        assert want in line.split("|")[5]
        assert line.split("|")[3].strip() == in_unit(found.cost, "tokens")
    assert (
        sum("nothing is known" in line for line in rows) == 4
    )  # N = 1 and 2, cheaper than all of the large one
    with pytest.raises(InvalidInput, match="the run has small, large"):
        write(run, tmp_path, larger="huge", texts=no_texts)


def test_lines_carry_their_model_where_there_are_several(tmp_path: Path) -> None:
    page, _ = written(two_models(), tmp_path)
    assert 'data-name="self_consistency · large"' in page
    assert 'data-name="self_consistency · small"' in page


def test_slopes_are_told(tmp_path: Path) -> None:
    run = made_run()
    _, markdown = written(run, tmp_path)
    found = next(f for f in how_well(run, table(run)) if f.metric == "slope")
    said = f"| slope | \\+{100 * found.value.estimate:.1f} \\[{100 * found.value.low:.1f}"
    assert said in markdown


# ------------------------------------------------------------------------------------------ sampling


def cells_of(pattern: dict[str, str], task: str = "t") -> list[Cell]:
    width = len(next(iter(pattern.values())))
    return [
        Cell(
            Key(task, "m", f"s{i}", Budget(), 0),
            tuple(outcome(q, marks[i] == "1", 1) for q, marks in pattern.items()),
            f"s{i}",
        )
        for i in range(width)
    ]


def test_disagreements_come_first_and_the_most_even_before_the_others() -> None:
    cells = cells_of({"all": "1111", "none": "0000", "odd": "1000", "even": "1010", "all2": "1111"})
    chosen, total = chosen_questions(cells, 10)
    assert [c.id for c in chosen] == ["even", "odd", "none", "all", "all2"]
    assert [c.why for c in chosen] == [SPLIT, SPLIT, NONE, ALL, ALL]
    assert total == 5
    assert [c.id for c in chosen_questions(cells, 3)[0]] == ["even", "odd", "none"]


def test_every_task_has_its_share_of_pages() -> None:
    many = {f"a{i}": "10" for i in range(50)}
    cells = cells_of(many, "first") + cells_of({"b0": "11", "b1": "00"}, "second")
    chosen, total = chosen_questions(cells, 6)
    assert total == 52
    assert [c.task for c in chosen] == ["first"] * 4 + ["second"] * 2


def test_every_task_has_its_share_of_trees() -> None:
    cells = cells_of({f"a{i}": "10" for i in range(9)}, "first") + cells_of({"b0": "10"}, "second")
    pages = pages_of(Found({}, tuple(cells)), {}, made_journals, no_texts, most=10, trees=3)
    with_trees = [q["id"] for q in pages.questions if any(row[8] >= 0 for row in q["answers"])]
    assert with_trees == ["a0", "a1", "b0"]


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    page, _ = written(made_run(30), tmp_path, questions=7)
    assert "7 questions of 30 have a page here." in page
    assert "The other 23 are in the run folder." in page
    assert len(held(page)["questions"]) == 7


# ------------------------------------------------------------------------------------------ journals


def test_pages_show_the_tree_of_the_journal(tmp_path: Path) -> None:
    page, _ = written(made_run(), tmp_path, journals=made_journals, texts=made_texts)
    data = held(page)
    question = data["questions"][0]
    trees = [row[8] for row in question["answers"] if row[8] >= 0]
    assert len(trees) == 2  # the largest N of each line
    nodes = data["trees"][trees[0]]["nodes"]
    said = [(data["texts"][n[0]], n[1], n[2], n[3]) for n in nodes]
    assert said == [("a", -1, 0.9, "open"), ("b", -1, 0.2, "pruned"), ("c", 0, None, "chosen")]
    assert data["texts"][nodes[0][6]] == f"first step {HOSTILE[0]}"
    assert data["texts"][question["gold"]] == visible(HOSTILE[3])


def journal_at(path: Path) -> None:
    with FileJournal.create(path, {"run": "r"}) as book:
        for stream in ("q0", "q\"1'\u00e9", "q2"):
            for i in range(3):
                data = {"id": f"{stream}-{i}", "done": True}
                book.append(
                    stream, {"kind": "note", "at": f"{i}#0", "ask": "expanded", "value": data}
                )
            large = {"text": "x" * 40_000}
            book.append(stream, {"kind": "note", "at": "#1", "ask": "large", "value": large})
            book.seal(stream, {"answer": "1"})


def test_journals_are_read_in_one_pass_for_the_questions_that_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "cell.jsonl"
    journal_at(path)
    key = Key("t", "m", "s")
    found = dict(journal_files({key: path})(key, ["q2", "q\"1'\u00e9", "missing"]))
    assert list(found) == ["q2", "q\"1'\u00e9"]
    assert [r["value"].get("id") for r in found["q2"][:3]] == ["q2-0", "q2-1", "q2-2"]
    assert found["q2"][3]["value"]["text"] == "x" * 40_000
    assert list(journal_files({key: path})(Key("t", "m", "other"), ["q2"])) == []
    assert list(no_journals(key, ["q2"])) == []


def test_records_are_found_whatever_their_first_field_is(tmp_path: Path) -> None:
    path = tmp_path / "cell.jsonl"
    with FileJournal.create(path, {"run": "r"}) as book:
        for stream in ("q1", "q12", 'q","kind":"note'):
            record = {"at": "0#0", "ask": "expanded", "kind": "note", "value": {"id": stream}}
            book.append(stream, record)
            book.append(stream, {"kind": "body", "key": "k", "value": {"said": '"kind":"note"'}})
    key = Key("t", "m", "s")
    for stream in ("q1", 'q","kind":"note'):
        found = dict(journal_files({key: path})(key, [stream]))
        assert [r["value"]["id"] for r in found[stream]] == [stream]


def test_a_run_that_began_anew_shows_what_stands(tmp_path: Path) -> None:
    path = tmp_path / "cell.jsonl"
    with FileJournal.create(path, {"run": "r"}) as book:
        book.append("q0", {"kind": "note", "at": "0#0", "ask": "expanded", "value": {"id": "old"}})
        book.append("q0", {"kind": "cut", "keep": 0, "notes": 0})
        book.append("q0", {"kind": "note", "at": "0#0", "ask": "expanded", "value": {"id": "new"}})
    key = Key("t", "m", "s")
    found = dict(journal_files({key: path})(key, ["q0"]))
    assert [r["value"]["id"] for r in found["q0"]] == ["new"]


def test_a_torn_journal_still_gives_what_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "cell.jsonl"
    journal_at(path)
    path.write_bytes(path.read_bytes()[:-7])
    key = Key("t", "m", "s")
    assert len(dict(journal_files({key: path})(key, ["q2"]))["q2"]) == 4


# ----------------------------------------------------------------------------------- the command, scale


def test_the_command_writes_the_report_of_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = [
        *("bench", "run", "--task", "world:medium(problems=8)"),
        *("--model", "sim:chain(preset='medium')"),
        *("--strategy", "self_consistency(n={n})", "--strategy", "best_of(n={n}, scorer=prm())"),
        *("--n", "1,4", "--out", str(tmp_path / "run"), "--json"),
    ]
    assert main(run) == 0
    capsys.readouterr()
    assert (
        main(["bench", "report", str(tmp_path / "run"), "--out", str(tmp_path / "page"), "--json"])
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    page = Path(said["html"]).read_text("utf-8")
    data = held(page)
    assert len(data["questions"]) == 8
    assert len(data["cells"]) == 4
    trees = [row[8] for q in data["questions"] for row in q["answers"] if row[8] >= 0]
    assert len(trees) == 16  # two lines at N = 4
    assert all(len(data["trees"][t]["nodes"]) >= 3 for t in trees)
    assert "start with" in data["texts"][data["questions"][0]["text"]]


def test_a_folder_that_holds_no_run_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "report", str(tmp_path)]) != 0
    assert "is no run folder" in capsys.readouterr().err


@pytest.mark.slow
def test_a_hundred_thousand_outcomes_are_written_in_a_minute(tmp_path: Path) -> None:
    import time

    run = made_run(12_500)
    assert sum(len(cell.outcomes) for cell in run.cells) == 100_000
    began = time.perf_counter()
    html_path, _ = write(run, tmp_path, journals=made_journals, texts=made_texts)
    assert time.perf_counter() - began < 60
    assert html_path.stat().st_size < 20_000_000
