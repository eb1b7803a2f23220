"""What bad input gets: one clear sentence, a status that is not zero, and nothing paid for is lost."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_harness import Command, Said, closed_port, deaf, hurry, running

from cogitate.drive import FileJournal

QUESTION = "Count, please."
SUM = "What is 2 + 2?"
FOUR = 'fake(answers=["4"])'
BEAM = "beam_search(width=1, branch=2, depth=2, scorer=judge())"


@pytest.fixture
def cogitate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return Command(capsys)


# ------------------------------------------------------------------------------ models and keys


def test_the_embedded_model_is_not_here(
    cogitate: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp")
    monkeypatch.setattr("cogitate.engines.weights.models_directory", lambda: tmp_path / "nothing")
    said = cogitate.refused("solve", SUM)
    assert "smollm2" in said
    assert "cogitate models pull smollm2" in said


def test_a_model_file_is_not_there(cogitate: Command) -> None:
    said = cogitate.refused("solve", SUM, "--model", "gguf:nowhere.gguf")
    assert "nowhere.gguf is not there" in said


def test_a_file_is_no_model(cogitate: Command) -> None:
    Path("letter.gguf").write_text("Dear model, …", "utf-8")
    said = cogitate.refused("solve", SUM, "--model", "gguf:letter.gguf")
    assert "letter.gguf is not a GGUF model" in said


def test_a_cut_model_file_is_no_model(cogitate: Command) -> None:
    pytest.importorskip("xllamacpp")
    Path("cut.gguf").write_bytes(b"GGUF\x03\x00\x00\x00" + bytes(64))
    assert "cut.gguf" in cogitate.refused("solve", SUM, "--model", "gguf:cut.gguf")


def test_a_model_nobody_knows_suggests_the_nearest(cogitate: Command) -> None:
    said = cogitate.refused("solve", SUM, "--model", "smolm2")
    assert "there is no model 'smolm2'; did you mean smollm2?" in said


def test_a_server_does_not_have_the_model(cogitate: Command) -> None:
    with running() as server:
        said = cogitate.refused("solve", SUM, "--model", f"openai:{server.url}#toi")
    assert "has no model 'toi'; did you mean toy?" in said


def test_a_missing_key(cogitate: Command) -> None:
    said = cogitate.refused("solve", SUM, "--model", "openai:https://api.openai.com/v1#gpt")
    assert "OPENAI_API_KEY is not set; set it" in said


def test_a_key_that_a_server_wants_and_nobody_named(cogitate: Command) -> None:
    with running(key="something") as server:
        said = cogitate.refused("solve", SUM, "--model", f"openai:{server.url}#toy")
    assert "wants a key (401); set the environment variable" in said


def test_two_models_for_one_role(cogitate: Command) -> None:
    said = cogitate.refused("solve", SUM, "--model", "judge=fake", "--model", "judge=smollm2")
    assert "two models were given for the role judge" in said


# ------------------------------------------------------------------------------------- endpoints


def test_an_endpoint_that_is_down_is_said_within_seconds(cogitate: Command) -> None:
    start = time.monotonic()
    said = cogitate.refused("solve", SUM, "--model", f"openai:{closed_port()}#toy")
    assert time.monotonic() - start < 5
    assert "cannot be reached" in said
    assert "is the server running and the address right?" in said


def test_an_endpoint_that_never_speaks(cogitate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    hurry(monkeypatch, wait_s=0.3)
    with deaf() as url:
        said = cogitate.refused("solve", SUM, "--model", f"openai:{url}#toy")
    assert "sent nothing for 0.3 s; it hangs or is overloaded" in said


FAULTS = [
    ({"fault": "hang"}, "sent nothing for 0.3 s; it hangs or is overloaded"),
    ({"fault": "429"}, "answered 429, too many requests: no; lower the concurrency or wait"),
    ({"fault": "401"}, "wants a key (401); set the environment variable"),
    ({"fault": "500"}, "failed with 500: no"),
    ({"fault": "malformed"}, "answered something that is not JSON: '<html>gateway</html>'"),
    ({"fault": "half_body"}, "broke the connection in the middle of its reply"),
    ({"fault": "empty_choices"}, "answered with 0 of 1 choices"),
    ({"fault": "half_stream", "dialect": "generic"}, "broke the connection in the middle"),
    ({"fault": "malformed_stream", "dialect": "generic"}, "is not JSON: '{not json'"),
]


@pytest.mark.parametrize(
    ("flags", "words"), FAULTS, ids=["-".join(map(str, f.values())) for f, _ in FAULTS]
)
def test_an_endpoint_that_fails_for_ever(
    flags: dict[str, Any], words: str, cogitate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch, wait_s=0.3 if "hang" in flags.values() else 5.0)
    with running(**flags) as server:
        said = cogitate.refused(
            *("solve", QUESTION, "--model", f"openai:{server.url}#toy", "--strategy", BEAM),
            same=False,
        )
        asked = len(server.bodies)
    assert said.startswith("no answer: ")
    assert words in said
    assert asked >= 2
    assert cogitate("--version").status == 0


def test_a_server_that_sends_us_away_for_an_hour_is_not_waited_for(cogitate: Command) -> None:
    start = time.monotonic()
    with running(fault="429", fault_headers={"Retry-After": "3600"}) as server:
        said = cogitate.refused("solve", SUM, "--model", f"openai:{server.url}#toy")
    assert time.monotonic() - start < 10
    assert "answered 429" in said
    assert "it asks to come back in 3600 s" in said


def test_what_failed_calls_cost_is_told(cogitate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a stream was generated, so it is paid for."""
    hurry(monkeypatch)
    with running(fault="half_stream", dialect="generic") as server:
        said = cogitate(
            *(
                "solve",
                QUESTION,
                "--model",
                f"openai:{server.url}#toy",
                "--strategy",
                BEAM,
                "--json",
            )
        )
    assert said.status == 1
    assert said.json["error"]
    assert said.json["usage"]["tokens_out"] > 0
    assert said.json["usage"]["estimated"] is True


def test_an_endpoint_that_recovers_costs_no_answer(
    cogitate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    hurry(monkeypatch)
    with running(fault="429") as server:
        seen: list[str] = []

        class Recovering(list):  # type: ignore[type-arg]
            def append(self, call: Any) -> None:
                seen.append(call[0])
                super().append(call)
                if len([path for path in seen if "completions" in path]) > 2:
                    server.does.fault = ""

        server.seen = Recovering()
        said = cogitate(
            "solve", QUESTION, "--model", f"openai:{server.url}#toy", "--strategy", "greedy()"
        )
    assert said.status == 0, said.err
    assert "9" in said.out


# ------------------------------------------------------------------------------------- questions


@pytest.mark.parametrize("text", ["", "  \n\t "])
def test_an_empty_question(text: str, cogitate: Command) -> None:
    assert "the question is empty" in cogitate.refused("solve", text, "--model", "fake")


def test_no_question(cogitate: Command) -> None:
    assert "no question was given" in cogitate.refused("solve", "--model", "fake")


def test_two_questions(cogitate: Command) -> None:
    said = cogitate.refused("solve", SUM, "--file", "other.txt", "--model", "fake")
    assert "given twice" in said


def test_a_question_file_that_is_not_there(cogitate: Command) -> None:
    said = cogitate.refused("solve", "--file", "nowhere.txt", "--model", "fake")
    assert said.startswith("the question was to be read from nowhere.txt, which cannot be")


def test_a_question_that_is_no_text(cogitate: Command) -> None:
    Path("picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\xff")
    said = cogitate.refused("solve", "--file", "picture.png", "--model", "fake")
    assert said == "picture.png is not UTF-8 text; convert it first"


def _seconds(cogitate: Command, size: int) -> float:
    Path("long.txt").write_text("why is that so? " * (size // 16), "utf-8")
    start = time.perf_counter()
    assert cogitate("solve", "--file", "long.txt", "--model", "fake", "--kind", "text").status == 0
    return time.perf_counter() - start


def test_a_two_megabyte_question_takes_linear_time(cogitate: Command) -> None:
    _seconds(cogitate, 16)  # imports
    small = min(_seconds(cogitate, 500_000) for _ in range(2))
    large = min(_seconds(cogitate, 2_000_000) for _ in range(2))
    assert large < 10
    assert large < 8 * small + 0.5  # four times as long; sixteen times where it is quadratic


def test_a_two_megabyte_question_is_too_long_for_a_server(cogitate: Command) -> None:
    Path("long.txt").write_text("why is that so? " * 125_000, "utf-8")
    with running(context=8192, fault="400", fault_body="maximum context length is 8192") as server:
        said = cogitate.refused(
            "solve", "--file", "long.txt", "--model", f"openai:{server.url}#toy"
        )
    assert "the prompt is too long for toy" in said


def test_a_two_megabyte_question_is_too_long_for_the_embedded_model(cogitate: Command) -> None:
    pytest.importorskip("xllamacpp")
    from cogitate.engines.weights import located

    if located("smollm2") is None:
        pytest.skip("the embedded model is not here: cogitate models pull smollm2")
    Path("long.txt").write_text("why is that so? " * 125_000, "utf-8")
    said = cogitate("solve", "--file", "long.txt", "--model", "smollm2", "--kind", "text").sentence
    assert "does not fit into the context of 8192; shorten it" in said


# ------------------------------------------------------------------------------- specs and budgets


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--strategy", "best_off(n=3)"), "there is no 'best_off'; did you mean best_of?"),
        (
            ("--strategy", "best_of(m=3)"),
            "best_of has no argument 'm'; there are n, process, scorer",
        ),
        (("--strategy", "best_of(scoerr=judge())"), "did you mean scorer?"),
        (("--strategy", "best_of(n=3"), "character"),
        (("--strategy", "best_of(n=0)"), "n"),
        (("--strategy", "judge()"), "judge is a scorer; a strategy is wanted"),
        (("--strategy", "__import__('os')"), "character"),
        (("--scorer", "juge()"), "did you mean judge?"),
        (("--kind", "mth"), "there is no answer kind 'mth'; did you mean math?"),
        (("--model", "judg=fake"), "judg=fake"),
        (("--model", "sim:arithmetik()"), "did you mean arithmetic?"),
        (("--model", "hf:some/model"), "later"),
        (("--config", "nowhere.toml"), "there is no configuration file nowhere.toml"),
    ],
)
def test_a_spec_that_cannot_be_read(
    arguments: tuple[str, ...], words: str, cogitate: Command
) -> None:
    model = () if "--model" in arguments else ("--model", "fake")
    assert words in cogitate.refused("solve", SUM, *model, *arguments)


@pytest.mark.parametrize(
    ("option", "amount", "words"),
    [
        ("--tokens", "0", "a budget of 0 tokens_out was asked for; it buys nothing"),
        ("--tokens", "-5", "a budget of -5 tokens_out was asked for; it must be"),
        ("--calls", "0", "a budget of 0 calls"),
        ("--seconds", "0", "a budget of 0 seconds"),
        ("--seconds", "nan", "a budget of nan seconds"),
        ("--usd", "-0.5", "a budget of -0.5 usd"),
        ("--usd", "inf", "a budget of inf usd"),
        ("--flops", "0", "a budget of 0 flops"),
    ],
)
def test_a_budget_that_buys_nothing(
    option: str, amount: str, words: str, cogitate: Command
) -> None:
    said = cogitate.refused("solve", SUM, "--model", "fake", f"{option}={amount}")
    assert words in said


def test_money_without_a_price(cogitate: Command) -> None:
    with running() as server:
        said = cogitate.refused("solve", SUM, "--model", f"openai:{server.url}#toy", "--usd", "1")
        assert server.bodies == [], "nothing is asked before the price is known"
    assert "the price is not known" in said
    assert "[prices]" in said


def test_a_budget_too_small_for_an_answer(cogitate: Command) -> None:
    said = cogitate.refused("solve", SUM, "--model", "fake", "--tokens", "5")
    assert said.startswith("no answer: 0 of 8 samples finished")
    assert said.endswith("give it more, or a strategy that asks for less")


def test_a_deadline_before_any_answer(cogitate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(fault="hang") as server:
        start = time.monotonic()
        said = cogitate.refused(
            "solve", SUM, "--model", f"openai:{server.url}#toy", "--seconds", "0.3"
        )
        assert time.monotonic() - start < 10
    assert "no answer" in said
    assert "--seconds" in said


def test_texts_without_an_answer_are_no_success(cogitate: Command) -> None:
    said = cogitate.refused("solve", SUM, "--model", 'fake(texts="empty")')
    assert said == "no answer: 8 of 8 samples finished; 8 without an answer"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("slove", "x"), "there is no command 'slove'; did you mean solve?"),
        (("calibrate",), "there is no command 'calibrate'"),
        (("solve", "x", "--token", "5"), "has no option '--token'; did you mean --tokens?"),
        (("solve", "-3+5"), "a text may begin with - after `--`"),
        (("solve", "--model=fake", "--", "-3+5", "--tokens", "5"), "takes --tokens before `--`"),
        (("solve", "two", "words"), "put a text of several words in quotes"),
        (("solve", "x", "--tokens", "ten"), "invalid int value: 'ten'"),
        (("replay",), "required: journal; see `cogitate replay --help`"),
        (("models", "pul"), "invalid choice: 'pul'"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], words: str, cogitate: Command) -> None:
    said = cogitate(*arguments)
    assert said.status == 2
    assert words in said.sentence
    if "--" not in arguments:
        assert words in cogitate(*arguments, "--json").json["error"]


# -------------------------------------------------------------------------------------- journals


@pytest.fixture
def journal(cogitate: Command) -> Path:
    path = Path("run.jsonl").absolute()
    said = cogitate(
        *("solve", SUM, "--model", FOUR, "--strategy", "best_of(n=4, scorer=judge())"),
        *("--journal", path),
    )
    assert said.status == 0
    return path


def solve_again(cogitate: Command, path: Path, question: str = SUM) -> Said:
    return cogitate(
        *("solve", question, "--model", FOUR, "--strategy", "best_of(n=4, scorer=judge())"),
        *("--journal", path, "--json"),
    )


READERS: list[Callable[[Path], tuple[str, ...]]] = [
    lambda path: ("solve", SUM, "--model", FOUR, "--journal", str(path)),
    lambda path: ("replay", str(path)),
    lambda path: ("view", str(path)),
    lambda path: ("export", str(path), "bundle.zip"),
]
NAMES = ["solve", "replay", "view", "export"]


@pytest.mark.parametrize("command", READERS, ids=NAMES)
def test_a_flipped_byte_in_a_journal(
    command: Callable[[Path], tuple[str, ...]], cogitate: Command, journal: Path
) -> None:
    whole = bytearray(journal.read_bytes())
    whole[len(whole) // 2] ^= 1
    journal.write_bytes(whole)
    said = cogitate.refused(*command(journal))
    assert said.startswith("record ")
    assert "is damaged: its checksum does not match; restore the file from a copy" in said
    assert journal.read_bytes() == bytes(whole), "it is left as it is"
    assert not Path("bundle.zip").exists()


def test_what_comes_before_the_damage_can_be_kept_as_the_sentence_says(
    cogitate: Command, journal: Path
) -> None:
    whole = bytearray(journal.read_bytes())
    before = cogitate("replay", journal, "--json").json
    whole[len(whole) // 2] ^= 1
    journal.write_bytes(whole)
    advised = cogitate.refused("replay", journal).partition("`head -c ")[2].partition("`")[0]
    journal.write_bytes(bytes(whole[: int(advised)]))
    again = solve_again(cogitate, journal)
    assert again.status == 0, again.err
    assert again.json["candidates"] == before["candidates"]


@pytest.mark.parametrize("command", READERS[1:2], ids=NAMES[1:2])
def test_a_journal_that_ends_before_its_answer(
    command: Callable[[Path], tuple[str, ...]], cogitate: Command, journal: Path
) -> None:
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[: len(lines) // 2]) + lines[len(lines) // 2][:-9])
    said = cogitate.refused(*command(journal))
    assert "ends before" in said


def test_a_truncated_journal_is_gone_on_with(cogitate: Command, journal: Path) -> None:
    before = cogitate("replay", journal, "--json").json
    lines = journal.read_bytes().splitlines(keepends=True)
    kept = b"".join(lines[: len(lines) // 2])
    journal.write_bytes(kept + lines[len(lines) // 2][:-9])
    assert cogitate("view", journal).status == 0
    assert solve_again(cogitate, journal).json["candidates"] == before["candidates"]
    assert journal.read_bytes().startswith(kept)


@pytest.mark.parametrize("command", READERS, ids=NAMES)
@pytest.mark.parametrize("held", [b"dear diary\n", b"\x00" * 4096, b'{"a": 1}\n', b"[]\n"])
def test_a_foreign_journal(
    command: Callable[[Path], tuple[str, ...]], held: bytes, cogitate: Command
) -> None:
    path = Path("diary.jsonl").absolute()
    path.write_bytes(held)
    assert "is not a cogitate journal" in cogitate.refused(*command(path))
    assert path.read_bytes() == held


@pytest.mark.parametrize("command", READERS[1:], ids=NAMES[1:])
def test_a_journal_that_is_not_there(
    command: Callable[[Path], tuple[str, ...]], cogitate: Command
) -> None:
    said = cogitate.refused(*command(Path("nowhere.jsonl")))
    assert said == "the journal nowhere.jsonl was asked for, but there is no such file"


def test_a_journal_with_a_run_card_of_nonsense(cogitate: Command) -> None:
    path = Path("odd.jsonl")
    FileJournal.create(
        path, {"task": 7, "models": "x", "seed": "\x1b[31m", "strategy": None}
    ).close()
    assert "run card cannot be read" in cogitate.refused("replay", path)
    said = cogitate("view", path)
    assert said.status in (0, 1)
    assert "\x1b" not in said.out + said.err


def test_a_journal_of_another_question(cogitate: Command, journal: Path) -> None:
    before = journal.read_bytes()
    said = solve_again(cogitate, journal, question="What is 3 + 3?")
    assert "holds another run: its task differs" in said.sentence
    assert "name another file" in said.sentence
    assert said.json == {"error": said.sentence}
    assert journal.read_bytes() == before


def test_a_journal_in_use(cogitate: Command, journal: Path) -> None:
    with FileJournal.open(journal):
        assert "is being written by another process" in solve_again(cogitate, journal).sentence


def test_a_journal_that_is_a_directory(cogitate: Command, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert "folder" in cogitate.refused(
        "solve", SUM, "--model", FOUR, "--journal", tmp_path / "folder"
    )


# ------------------------------------------------------------------------------------- full disks


class Full:
    """A file on a disk with room for so many more writes."""

    def __init__(self, file: Any, writes: int) -> None:
        self._file, self._left = file, writes

    def write(self, data: Any) -> int:
        self._left -= 1
        if self._left < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self._left == 0:  # the last one is cut in its middle, as a filling disk does
            return self._file.write(data[: len(data) // 2])
        return self._file.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.mark.parametrize("writes", [0, 1, 2, 4, 6])
def test_a_disk_that_fills_up_in_the_middle(
    writes: int, cogitate: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = Path("run.jsonl").absolute()
    arguments = (
        *("solve", SUM, "--model", FOUR, "--kind", "number"),
        *("--strategy", "beam_search(width=2, branch=2, depth=4, scorer=prm())", "--json"),
    )
    want = cogitate(*arguments).json
    create = FileJournal.create.__func__  # type: ignore[attr-defined]

    def filling(kind: Any, *known: Any) -> FileJournal:
        book = create(kind, *known)
        book._file = Full(book._file, writes)
        return book

    with monkeypatch.context() as patch:
        patch.setattr(FileJournal, "create", classmethod(filling))
        said = cogitate(*arguments, "--journal", path)
    assert said.status == 1
    assert said.sentence.startswith(f"the disk is full: {path} could not be written")
    assert "resume" in said.sentence
    assert said.json["error"] == said.sentence
    kept = path.read_bytes()
    assert kept.endswith(b"\n"), "it ends with a whole record"
    if writes >= 4:
        assert b'"kind":"reply"' in kept
    again = cogitate(*arguments, "--journal", path)
    assert again.status == 0, again.err
    assert again.json["candidates"] == want["candidates"]
    assert path.read_bytes().startswith(kept), "what was paid for is kept"


def test_a_full_disk_costs_no_answer(cogitate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found before the disk filled up is printed."""
    path = Path("run.jsonl").absolute()
    flush = FileJournal.flush
    told: list[int] = []

    def filling(self: FileJournal) -> None:
        told.extend(b'"kind":"reply"' in line for line in self._buffer)
        if sum(told) > 2 and not isinstance(self._file, Full):
            self._file = Full(self._file, 0)  # type: ignore[assignment]
        flush(self)

    monkeypatch.setattr(FileJournal, "flush", filling)
    arguments = (
        *("solve", SUM, "--model", "fake(latency_s=0.05, answers=['4'])", "--kind", "number"),
        *("--strategy", "self_consistency(n=30)", "--journal", path),
    )
    said = cogitate(*arguments)
    assert said.status == 1
    assert said.out.strip() == "4"
    assert "the disk is full" in said.sentence
    as_json = cogitate(*arguments[:-1], path.with_name("other.jsonl"), "--json")
    assert as_json.json["answer"] == "4"
    assert as_json.json["error"] == as_json.sentence


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    "arguments", [("solve", SUM, "--model", "fake"), ("papers",), ("doctor", "--json")]
)
def test_an_output_that_cannot_be_written(arguments: tuple[str, ...], tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "cogitate", *arguments],
            *(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            cwd=tmp_path,
            env=os.environ | {"PYTHONUNBUFFERED": ""},
        )
    said = Said(done.returncode, "", done.stderr).sentence
    assert done.returncode == 1
    assert said.startswith("the output could not be written")


# -------------------------------------------------------------------------------------- interrupts


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_an_interrupt_prints_the_best_so_far_and_the_run_goes_on(
    as_json: bool, tmp_path: Path
) -> None:
    path = tmp_path / "run.jsonl"
    command = [
        *(sys.executable, "-m", "cogitate", "solve", SUM, "--kind", "number"),
        *("--model", "fake(latency_s=0.15, answers=['4'])", "--journal", str(path)),
        *("--strategy", "best_of(n=400, scorer=mean_logprob())"),
        *(("--json",) if as_json else ()),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and path.read_bytes().count(b'"kind":"reply"') > 5:
            break
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    said = Said(process.returncode, out, err)
    assert said.status == 130, err
    assert said.sentence.startswith("interrupted; this is the best so far")
    if as_json:
        assert said.json["answer"] == "4"
        assert said.json["stopped"] == "interrupted"
        assert 0 < len(said.json["candidates"]) < 400
        assert said.json["error"] == said.sentence
    else:
        assert said.out.strip() == "4"
    kept = path.read_bytes()
    paid = kept.count(b'"kind":"reply"')
    assert paid > 5
    again = subprocess.run(
        [*command, *(() if as_json else ("--json",))],
        *(),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=tmp_path,
    )
    assert again.returncode == 0, again.stderr
    found = json.loads(again.stdout)
    assert len(found["candidates"]) == 400
    assert path.read_bytes().startswith(kept), "what was paid for is kept"
    assert path.read_bytes().count(b'"ask":"Generate"') >= 400


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_an_interrupt_before_any_answer(tmp_path: Path) -> None:
    with deaf() as url:
        process = subprocess.Popen(
            [sys.executable, "-m", "cogitate", "solve", SUM, "--model", f"openai:{url}#toy"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
        )
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    said = Said(process.returncode, out, err)
    assert said.status == 130
    assert said.sentence.startswith("interrupted")
    assert out == ""
