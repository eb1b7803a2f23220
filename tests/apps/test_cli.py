"""The command line: every subcommand, its exit status, its JSON, and what reaches a terminal."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cli_harness import Command, Said, hurry, running

from cogitate.apps import cli
from cogitate.core.usage import Budget
from cogitate.drive import FileJournal

SUM = "What is 2 + 2?"
FOUR = 'fake(answers=["4"])'
KEY = "sk-cogitate-Zq7canary0123456789"
SOLVE_KEYS = {
    *("answer", "score", "candidates", "usage", "spent", "cost"),
    *("strategy", "model", "seed", "journal", "stopped"),
}


@pytest.fixture
def cogitate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return Command(capsys)


def program(*arguments: str, stdin: bytes = b"", **environment: str) -> Said:
    """The command in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "cogitate", *arguments],
        input=stdin,
        capture_output=True,
        timeout=60,
        env=os.environ | environment,
    )
    return Said(
        done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8")
    )


# -------------------------------------------------------------------------------------------- solve


def test_the_answer_is_all_that_goes_to_standard_output(cogitate: Command) -> None:
    said = cogitate("solve", SUM, "--model", FOUR)
    assert (said.status, said.out) == (0, "4\n")
    for part in ("self_consistency(n=8)", FOUR, "reads like a calculation", "policy", "tokens out"):
        assert part in said.err
    assert "cogitate: " not in said.err


def test_solve_reads_a_file_or_standard_input(
    cogitate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("question.txt").write_text("\ufeffWie heißt das? 2 + 2?", "utf-8")
    from_file = cogitate(
        "solve", "--file", "question.txt", "--model", "fake", "--json", "--kind", "math"
    )
    raw = io.TextIOWrapper(io.BytesIO("Wie heißt das? 2 + 2?".encode()), "ascii")
    monkeypatch.setattr(sys, "stdin", raw)
    from_stdin = cogitate("solve", "-", "--model", "fake", "--json", "--kind", "math")
    as_text = cogitate(
        "solve", "Wie heißt das? 2 + 2?", "--model", "fake", "--json", "--kind", "math"
    )
    assert from_file.status == 0
    assert from_file.out == from_stdin.out == as_text.out


def test_the_json_of_solve_is_the_public_record(cogitate: Command) -> None:
    said = cogitate(
        *("solve", SUM, "--model", FOUR, "--strategy", "best_of(n=3, scorer=judge())"),
        *("--seed", "7", "--journal", "run.jsonl", "--tokens", "9000", "--json"),
    )
    assert (said.status, said.err) == (0, "")
    found = said.json
    assert set(found) == SOLVE_KEYS
    assert found["answer"] == "4"
    assert found["strategy"] == "best_of(n=3, scorer=judge())"
    assert (found["model"], found["seed"], found["journal"]) == (FOUR, 7, "run.jsonl")
    assert len(found["candidates"]) == 3
    assert 0 < found["usage"]["tokens_out"] <= 9000
    assert found["cost"] == 0.0
    assert found["stopped"] == ""


def test_equal_commands_give_equal_output(cogitate: Command) -> None:
    one, two = (cogitate("solve", SUM, "--model", "fake", "--json") for _ in range(2))
    assert one.out == two.out
    assert cogitate("solve", SUM, "--model", "fake", "--seed", "1", "--json").out != one.out


def test_options_override_the_configuration(cogitate: Command) -> None:
    Path("mine.toml").write_text('model = "fake"\nstrategy = "greedy()"\n', "utf-8")
    held = cogitate("solve", SUM, "--config", "mine.toml", "--json").json
    assert (held["model"], held["strategy"]) == ("fake", "greedy()")
    other = cogitate(
        *("solve", SUM, "--config", "mine.toml", "--strategy", "best_of(n=2)", "--json")
    )
    assert other.json["strategy"].startswith("best_of(n=2")


def test_models_are_mixed_by_role(cogitate: Command) -> None:
    said = cogitate(
        *("solve", "Write a line about rain.", "--model", FOUR, "--model", "judge=fake", "--json")
    )
    assert said.status == 0
    assert said.json["model"] == f"policy={FOUR} judge=fake"


# ------------------------------------------------------------------------------------------- models


def test_models_list(cogitate: Command) -> None:
    rows = cogitate("models", "list", "--json").json
    assert [row["name"] for row in rows] == ["smollm2"]
    assert rows[0]["bytes"] == 98_362_432
    assert rows[0]["sha256"].startswith("b179c952")
    shown = cogitate("models", "list")
    assert shown.out == cogitate("models").out
    assert "Apache-2.0" in shown.out
    assert "openai:BASE_URL#MODEL" in shown.out


def test_models_pull_prints_the_path(cogitate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetched(name: str, *, progress: Any) -> Path:
        progress(1, 2)
        progress(2, 2)
        return Path("weights") / f"{name}.gguf"

    monkeypatch.setattr("cogitate.engines.weights.pull", fetched)
    path = str(Path("weights") / "smollm2.gguf")
    said = cogitate("models", "pull")
    assert (said.status, said.out, said.err) == (0, f"{path}\n", "")
    assert cogitate("models", "pull", "smollm2", "--json").json == {"name": "smollm2", "path": path}


def test_models_pull_of_an_unknown_name(cogitate: Command) -> None:
    assert "the known models are smollm2" in cogitate.refused("models", "pull", "nothing")


def test_models_probe(cogitate: Command) -> None:
    with running(key="") as server:
        said = cogitate("models", "probe", f"openai:{server.url}#toy")
        as_json = cogitate("models", "probe", f"openai:{server.url}#toy", "--json").json
    assert said.status == 0
    assert "vllm" in said.out
    assert "\nprobed" in said.out, "a line for each finding"
    assert as_json["probed"] is True
    assert as_json["dialect"] == "vllm"
    assert as_json["n"] is True
    assert as_json["models"] == ["toy"]


def test_a_server_cannot_steer_the_terminal(
    cogitate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogitate.engines.openai import Capabilities, OpenAICompatible

    async def probe(self: OpenAICompatible) -> Capabilities:
        return Capabilities(version="\x1b[2J\x9b1mseven", findings=("\x1b]0;owned\x07odd",))

    monkeypatch.setattr(OpenAICompatible, "probe", probe)
    with running() as server:
        said = cogitate("models", "probe", f"openai:{server.url}#toy")
    assert "seven" in said.out
    assert "odd" in said.out
    assert not set("\x1b\x9b\x07") & set(said.out)


def test_models_probe_of_what_is_no_server(cogitate: Command) -> None:
    assert "only openai:BASE_URL#MODEL specs can be probed" in cogitate.refused(
        "models", "probe", "fake"
    )


# ------------------------------------------------------------------------------------------- papers


def test_papers(cogitate: Command) -> None:
    rows = cogitate("papers", "--json").json
    assert [row["id"] for row in rows] == [f"{n:02d}" for n in range(1, 39)]
    assert set(rows[0]) == {"id", "slug", "title", "arxiv", "recipe", "tags", "claims", "status"}
    one = cogitate("papers", rows[11]["slug"], "--json").json
    assert one == [rows[11]] == cogitate("papers", "12", "--json").json
    shown = cogitate("papers", "12")
    assert rows[11]["arxiv"] in shown.out


@pytest.mark.parametrize(
    "options", [("--what", "hybrid"), ("--how", "inference"), ("--where", "reasoning/math")]
)
def test_papers_are_filtered(options: tuple[str, str], cogitate: Command) -> None:
    rows = cogitate("papers", *options, "--json").json
    axis = options[0].removeprefix("--")
    assert 0 < len(rows) < 38
    for row in rows:
        assert any(path.startswith(options[1]) for path in row["tags"][axis])


def test_papers_in_bibtex(cogitate: Command) -> None:
    assert cogitate("papers", "12", "--bibtex").out.lstrip().startswith("@")


@pytest.mark.parametrize(
    "arguments", [("99",), ("nothing",), ("--what", "nothing"), ("--how", "inference/nothing")]
)
def test_papers_that_are_not_there(arguments: tuple[str, ...], cogitate: Command) -> None:
    assert "was asked for" in cogitate.refused("papers", *arguments)


# ------------------------------------------------------------------------- replay, view and export


@pytest.fixture
def journal(cogitate: Command) -> Path:
    path = Path("run.jsonl").absolute()
    said = cogitate(
        *("solve", SUM, "--model", FOUR, "--kind", "number", "--journal", path),
        *("--strategy", "beam_search(width=2, branch=2, depth=3, scorer=prm())"),
    )
    assert said.status == 0, said.err
    return path


def test_replay_equals_the_run(cogitate: Command) -> None:
    arguments = ("solve", SUM, "--model", FOUR, "--journal", "run.jsonl")
    want = cogitate(*arguments, "--json").json
    held = Path("run.jsonl").read_bytes()
    assert cogitate("replay", "run.jsonl", "--json").json == want
    shown = cogitate("replay", "run.jsonl")
    assert (shown.status, shown.out) == (0, "4\n")
    assert cogitate(*arguments, "--json").json == want
    assert Path("run.jsonl").read_bytes() == held


def test_replay_of_a_run_without_an_answer_fails_too(cogitate: Command) -> None:
    model = 'fake(texts="empty")'
    ran = cogitate.refused("solve", SUM, "--model", model, "--journal", "run.jsonl")
    assert cogitate.refused("replay", "run.jsonl") == ran


def test_view_shows_the_tree(cogitate: Command, journal: Path) -> None:
    said = cogitate("view", journal)
    assert said.status == 0
    for part in (SUM, "beam_search(width=2", "seed      0", "reply", "policy", "tokens out"):
        assert part in said.out
    assert any(mark in said.out for mark in ("├", "└", "|-", "`-"))
    raw = cogitate("view", journal, "--json").json
    assert {"header", "nodes", "roles", "usage", "outcomes", "streams"} < set(raw)
    assert raw["outcomes"]["reply"] > 2
    assert any(node["parent"] for node in raw["nodes"])


def test_view_of_a_stream_that_is_not_there(cogitate: Command, journal: Path) -> None:
    assert "the stream '7' was asked for" in cogitate.refused("view", journal, "--stream", "7")


HOSTILE = "\x1b]0;owned\x07\x1b[31mred\x1b[2J\x9b31m\u202eevil\x00\r\n[bold]not markup[/bold]"


def test_hostile_text_never_reaches_the_terminal(
    cogitate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cogitate.engines.fake import FakeEngine

    write = FakeEngine.write

    def hostile(self: FakeEngine, request: Any) -> Any:
        from dataclasses import replace

        return replace(write(self, request), text=HOSTILE)

    monkeypatch.setattr(FakeEngine, "write", hostile)
    said = cogitate(
        *("solve", f"Say it. {HOSTILE}", "--model", "fake", "--kind", "text"),
        *("--strategy", "best_of(n=2, scorer=judge())", "--journal", "run.jsonl"),
    )
    outputs = [
        said,
        *(cogitate(command, "run.jsonl") for command in ("view", "replay")),
        *(cogitate(command, "run.jsonl", "--json") for command in ("view", "replay")),
    ]
    for output in outputs:
        shown = output.out + output.err
        assert "not markup" in shown
        for control in ("\x1b", "\x07", "\x9b", "\u202e", "\x00", "\r"):
            assert control not in shown


def test_an_exported_bundle_replays_elsewhere(
    cogitate: Command, journal: Path, tmp_path: Path
) -> None:
    want = cogitate("replay", journal, "--json").json
    said = cogitate("export", journal)
    bundle = journal.with_suffix(".zip")
    assert (said.status, said.out) == (0, f"{bundle}\n")
    other = tmp_path / "elsewhere"
    with zipfile.ZipFile(bundle) as packed:
        assert packed.testzip() is None
        packed.extractall(other)
    found = cogitate("replay", other / "run.jsonl", "--json").json
    assert found | {"journal": None} == want | {"journal": None}
    with FileJournal.open(other / "run.jsonl", read_only=True) as book:
        assert "host" not in book.header
    assert "host" in cogitate("view", journal, "--json").json["header"]
    assert "host" not in json.loads((other / "card.json").read_text("utf-8"))


def test_an_exported_bundle_holds_its_large_values(cogitate: Command, tmp_path: Path) -> None:
    """Values that lie beside the journal travel inside it."""
    path = tmp_path / "big.jsonl"
    with FileJournal.create(path, {"strategy": "greedy()"}) as book:
        book.append(
            "", {"kind": "note", "note": "big", "at": "0", "value": {"text": "x" * 200_000}}
        )
    assert any(path.with_name("big.jsonl.blobs").rglob("*"))
    cogitate("export", path, tmp_path / "big.zip")
    with zipfile.ZipFile(tmp_path / "big.zip") as packed:
        packed.extractall(tmp_path / "elsewhere")
    with FileJournal.open(tmp_path / "elsewhere" / "run.jsonl", read_only=True) as book:
        (note,) = book.lines()
        assert note["value"]["text"] == "x" * 200_000


def test_an_export_overwrites_nothing(cogitate: Command, journal: Path) -> None:
    Path("mine.zip").write_bytes(b"precious")
    assert "mine.zip is there already" in cogitate.refused("export", journal, "mine.zip")
    assert Path("mine.zip").read_bytes() == b"precious"


def test_an_export_into_a_folder_that_is_not_there(cogitate: Command, journal: Path) -> None:
    assert "nowhere" in cogitate.refused("export", journal, "nowhere/bundle.zip")


# ------------------------------------------------------------------------------------ doctor, demo


def test_doctor(cogitate: Command) -> None:
    rows = {row["name"]: row for row in cogitate("doctor", "--json").json}
    assert {"python", "http engines", "extra local", "extra math", "model smollm2", "disk"} <= set(
        rows
    )
    for row in rows.values():
        assert row["state"] in ("ok", "missing", "planned")
        assert row["remedy"] if row["state"] == "missing" else True
    assert "python" in cogitate("doctor").out


def test_doctor_says_how_to_get_what_is_missing(
    cogitate: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("cogitate.engines.weights.models_directory", lambda: tmp_path / "none")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    rows = {row["name"]: row for row in cogitate("doctor", "--json").json}
    assert rows["model smollm2"]["remedy"] == "cogitate models pull smollm2"
    assert rows["extra local"]["remedy"] == "pip install 'cogitate[local]'"


def test_doctor_shows_the_settings_in_force(
    cogitate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("cogitate.toml").write_text(
        'model = "fake"\n[endpoints.mine]\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
        'key_variable = "MY_SERVER"\n',
        "utf-8",
    )
    monkeypatch.setenv("COGITATE_TOKENS", "77")
    rows = {row["name"]: row for row in cogitate("doctor", "--config", "--json").json}
    assert rows["model"]["value"] == "fake"
    assert "cogitate.toml" in rows["model"]["from"]
    assert rows["budget.tokens_out"] == {
        "name": "budget.tokens_out",
        "value": "77",
        "from": "environment COGITATE_TOKENS",
    }
    assert rows["key MY_SERVER"]["value"] == "not set"
    assert "COGITATE_TOKENS" in cogitate("doctor", "--config").out


def test_the_recorded_part_of_the_demo_needs_no_model(cogitate: Command) -> None:
    said = cogitate("demo", "--recorded")
    assert said.status == 0
    assert "accuracy against samples" in said.out
    assert "majority" in said.out
    found = cogitate("demo", "--recorded", "--json").json
    assert found["live"] == []
    assert found["curve"]


def test_a_demo_of_nothing(cogitate: Command) -> None:
    assert "at least 1 question" in cogitate.refused("demo", "--questions", "0")


# ---------------------------------------------------------------------------------------- the whole

COMMANDS = [
    *(
        (name,)
        for name in ("solve", "demo", "models", "replay", "view", "export", "papers", "doctor")
    ),
    *(("models", name) for name in ("list", "pull", "probe")),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_subcommand_explains_itself_with_examples(
    command: tuple[str, ...], cogitate: Command
) -> None:
    said = cogitate(*command, "--help")
    assert said.status == 0
    assert f"examples:\n  cogitate {' '.join(command)}" in said.out
    assert "--json" in said.out


def test_the_help_names_every_command(cogitate: Command) -> None:
    said = cogitate("--help")
    assert said.status == 0
    for (name,) in COMMANDS[:8]:
        assert f"    {name} " in said.out
    assert cogitate().status == 2


def test_it_runs_as_a_module_and_pipes_plain_text() -> None:
    said = program("solve", "-", "--model", FOUR, stdin=b"What is 2 + 2?", FORCE_COLOR="")
    assert (said.status, said.out) == (0, "4\n")
    assert "\x1b" not in said.err
    assert program("--version").out.startswith("cogitate 0.")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "latin-1"])
@pytest.mark.parametrize(
    "command", [("papers",), ("demo", "--recorded"), ("doctor",)], ids=" ".join
)
def test_other_encodings_do_not_crash(command: tuple[str, ...], encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cogitate", *command],
        capture_output=True,
        timeout=60,
        env=os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    done.stdout.decode(encoding)


def test_an_answer_outside_the_encoding_is_printed_with_marks() -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "cogitate",
            "solve",
            SUM,
            "--model",
            'fake(answers=["π ≈ 3"])',
            "--kind",
            "text",
        ],
        capture_output=True,
        timeout=60,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
    )
    assert done.returncode == 0, done.stderr
    assert b"? ? 3" in done.stdout


@pytest.mark.parametrize("columns", ["20", "40", "300"])
def test_narrow_and_wide_terminals(
    columns: str, cogitate: Command, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    for command in (
        *(("papers",), ("papers", "12"), ("models",), ("doctor",), ("doctor", "--config")),
        *(("demo", "--recorded"), ("view", str(journal)), ("replay", str(journal))),
    ):
        assert cogitate(*command).status == 0


def test_a_reader_that_leaves_ends_it_quietly() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "cogitate", "papers", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(30) == 141
        assert process.stderr.read() == b""


# ----------------------------------------------------------------------------------------- mistakes


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError(f"while holding {KEY}")

    monkeypatch.setattr("cogitate.assembly.solve", fails)


def test_a_bug_is_one_sentence(cogitate: Command, broken: None) -> None:
    said = cogitate.refused("solve", SUM, "--model", "fake", status=70)
    assert said.startswith("ZeroDivisionError at apps/commands/solving.py, line ")
    assert "this is a bug of cogitate: run again with COGITATE_TRACEBACK=1" in said
    assert KEY not in said


def test_a_bug_shows_its_traceback_when_asked(
    cogitate: Command, broken: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cli.TRACEBACK, "1")
    said = cogitate("solve", SUM, "--model", "fake")
    assert said.status == 70
    assert "Traceback (most recent call last)" in said.err
    assert "ZeroDivisionError" in said.err


def test_an_interrupt_outside_a_run(cogitate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cogitate("papers").status == 0

    def stopped(**_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["cogitate.recipes"], "query", stopped)
    assert cogitate.refused("papers", status=130) == "interrupted"


# ---------------------------------------------------------------------------------------------- keys


def test_a_key_appears_nowhere(
    cogitate: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Not in an output, a journal, an export, a traceback or a setting, whatever fails."""
    hurry(monkeypatch, wait_s=0.5)
    monkeypatch.setenv("TOY_KEY", KEY)
    monkeypatch.setenv(cli.TRACEBACK, "1")
    shown: list[str] = []
    faults = ["", "429", "401", "500", "malformed", "half_body", "hang"]
    body = json.dumps({"error": {"message": f"bad key {KEY}"}})
    for number, fault in enumerate(faults):
        with running(key=KEY, fault_body=body) as server:
            Path("cogitate.toml").write_text(
                f'[endpoints.toy]\nbase_url = "{server.url}"\nmodel = "toy"\nkey_variable = "TOY_KEY"\n',
                "utf-8",
            )
            server.does.fault = fault
            for form in ((), ("--json",)):
                path = f"run{number}{len(form)}.jsonl"
                said = cogitate(
                    *("solve", "Count, please.", "--model", "toy", "--journal", path),
                    *("--strategy", "best_of(n=2, scorer=mean_logprob())", *form),
                )
                assert said.status == (1 if fault else 0), said.err
                shown += [said.out, said.err]
                for command in (("view", path), ("view", path, "--json"), ("export", path)):
                    said = cogitate(*command)
                    shown += [said.out, said.err]
            said = cogitate("models", "probe", "toy")
            shown += [said.out, said.err]
            assert any(KEY in headers.get("Authorization", "") for _, _, headers in server.seen)
    for command in (("doctor",), ("doctor", "--config"), ("doctor", "--config", "--json")):
        said = cogitate(*command)
        assert said.status == 0
        shown += [said.out, said.err]
    assert "TOY_KEY" in shown[-2]
    assert all(KEY not in text for text in shown)
    journals = 0
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert KEY.encode() not in path.read_bytes(), path
            journals += path.suffix == ".jsonl"
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as packed:
                assert all(KEY.encode() not in packed.read(name) for name in packed.namelist())
    assert journals == 2 * len(faults)


# ------------------------------------------------------------------------------------------ progress

needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")


def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Run with standard error on a terminal; what that terminal got."""
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "cogitate", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    got = b""
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        got += piece
    os.close(ours)
    return process.wait(30), got.decode("utf-8", "replace")


SLOW = "fake(latency_s=0.8, answers=['4'])"
STEPS = "beam_search(width=1, branch=1, depth=6, scorer=prm())"


@needs_terminal
def test_a_long_run_shows_a_line_on_a_terminal() -> None:
    status, got = on_a_terminal(
        *(
            "solve",
            SUM,
            "--kind",
            "number",
            "--model",
            SLOW,
            "--strategy",
            STEPS,
            "--tokens",
            "9000",
        )
    )
    assert status == 0
    assert "calls, " in got
    assert "of 9,000 tokens out" in got
    assert got.count("\x1b[?25l") == got.count("\x1b[?25h"), "the cursor is shown again"


@needs_terminal
def test_a_short_run_shows_no_line() -> None:
    status, got = on_a_terminal("solve", SUM, "--model", FOUR)
    assert status == 0
    assert "policy" in got
    assert "calls, " not in got


def test_nobody_sees_a_line_where_there_is_no_terminal() -> None:
    said = program("solve", SUM, "--kind", "number", "--model", SLOW, "--strategy", STEPS)
    assert said.status == 0
    assert "calls, " not in said.err
    assert "\x1b" not in said.err


def test_the_line_says_why_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    import logging
    import time

    from rich.console import Console

    from cogitate.apps.progress import watching

    screen = io.StringIO()
    out = Console(file=screen, force_terminal=True, width=150, markup=False)
    monkeypatch.setattr("cogitate.apps.output.console", lambda **_: out)
    log = logging.getLogger("cogitate.drive.lanes")
    with watching(Budget(tokens_out=50), quiet=False, after_s=0.0):
        log.info("trying again in %.1f s: the server \x1b[2J[bold]said[/bold] no", 7.0)
        time.sleep(0.4)
    assert "0 calls, 0 of 50 tokens out; trying again in 7.0 s" in screen.getvalue()
    assert "[bold]said[/bold] no" in screen.getvalue()
    assert "\x1b[2J" not in screen.getvalue()
    assert logging.getLogger("cogitate.drive").handlers == []


def test_a_shared_run_card_says_nothing_of_this_machine() -> None:
    from cogitate.apps.commands.exporting import shareable

    header = {
        "host": {"cores": 2},
        "models": {"policy": "gguf:/home/ann/models/a.gguf", "judge": "fake"},
    }
    assert shareable(header) == {"models": {"policy": "gguf:a.gguf", "judge": "fake"}}
