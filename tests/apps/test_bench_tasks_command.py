"""`cogitate bench tasks` and `cogitate bench hlce`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_harness import Command


@pytest.fixture
def cogitate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("COGITATE_DATA", raising=False)
    return Command(capsys)


def test_the_table_says_what_there_is(cogitate: Command, tmp_path: Path) -> None:
    shown = cogitate("bench", "tasks")
    assert shown.status == 0
    assert "humaneval" in shown.out
    assert "set COGITATE_DATA" in shown.out
    assert "world:PRESET(problems=200" in shown.out
    assert "blocksworld" in shown.out
    held = cogitate("bench", "tasks", "--json").json
    assert {task["name"] for task in held["tasks"]} >= {"gsm8k", "math500"}
    assert not any(task["found"] for task in held["tasks"])
    (tmp_path / "gsm8k").mkdir()
    (tmp_path / "gsm8k" / "test.jsonl.gz").write_bytes(b"")
    held = cogitate("bench", "tasks", "--json", "--data", str(tmp_path)).json
    assert [task["name"] for task in held["tasks"] if task["found"]] == ["gsm8k"]
    assert "@misc{" in cogitate("bench", "tasks", "--citation").out


def test_a_narrow_table_keeps_the_names(cogitate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert "hotpotqa-distractor " in cogitate("bench", "tasks").out


def test_one_task_with_examples(cogitate: Command, tmp_path: Path) -> None:
    shown = cogitate("bench", "tasks", "world:easy(problems=5)", "--examples", "2")
    assert shown.status == 0
    assert "world:easy(problems=5)" in shown.out
    assert shown.out.count("How much is it now?") == 2
    told = cogitate("bench", "tasks", "world:easy(problems=5)", "--json").json
    assert len(told["examples"]) == 3
    assert len(told["checksum"]) == 64
    assert told["examples"][0]["gold"]


def test_hostile_data_do_not_steer_the_terminal(cogitate: Command, tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text(json.dumps({"question": "\x1b[31m[bold]q", "answer": "1"}))
    (tmp_path / "t.toml").write_text('name = "t"\nkind = "number"\n[data]\nfile = "q.jsonl"\n')
    shown = cogitate("bench", "tasks", "t.toml")
    assert shown.status == 0
    assert "\x1b" not in shown.out
    assert "[bold]q" in shown.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("tasks", "gsm"), "did you mean gsm8k?"),
        (("tasks", "gsm8k"), "set COGITATE_DATA to that folder"),
        (("tasks", "none.toml"), "there is no such file"),
        (("tasks", "--examples", "-1"), "give 0 or more"),
        (("hlce",), "the published verdicts are not here; set COGITATE_DATA"),
        (("hlce", "none.json"), "there is no file none.json"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    cogitate: Command, arguments: tuple[str, ...], said: str
) -> None:
    shown = cogitate("bench", *arguments)
    assert shown.status != 0
    assert said in shown.sentence


def test_the_row_of_hlce(cogitate: Command, tmp_path: Path) -> None:
    rows = [
        {
            "date": "IOI",
            "problem_index": "B",
            "points": points,
            "verdict": "",
            "original_record_id": i,
        }
        for i, points in enumerate([100.0, 20.0, 0.0, 0.0, 0.0])
    ]
    (tmp_path / "hlce").mkdir()
    named = tmp_path / "hlce" / "ioi_scores_chatgpt-4o.json"
    named.write_text(json.dumps(rows))
    shown = cogitate("bench", "hlce", "--data", str(tmp_path))
    assert shown.status == 0
    assert "pass@1 0.200000  pass@5 1.000000  mean points 24.00000" in shown.out
    assert "CC BY-NC 4.0" in shown.out
    told = cogitate("bench", "hlce", str(named), "--json").json
    found = [told["pass@1"], told["pass@5"], told["mean_points"]]
    assert found == pytest.approx([0.2, 1.0, 24.0])
