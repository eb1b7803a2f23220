"""`solve --watch`: the live tree, its cost, and what it does to the terminal and to the run."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from cli_harness import Command
from rich.console import Console, Group

from cogitate.apps.progress import watching
from cogitate.apps.render import Canopy, Spending
from cogitate.core.events import Answered, Chunk, Finished, Noted
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Completion, Generate, Reply
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.usage import Budget, Usage
from cogitate.drive import run
from cogitate.processes import Answer, Reasoning
from cogitate.scorers import Majority, ProcessReward
from cogitate.search import BeamSearch, BestOf, Solve, Vote
from cogitate.testing import FakeEngine, Simulated, simulated_tasks


@pytest.fixture
def cogitate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return Command(capsys)


EVIL = (
    "\x1b]0;owned\x07\x1b[31mred\x1b[2J\x9b31m\u202eevil\x00\r\n[bold]not markup[/bold] \u05d0\u05d1 "
    + "x" * 50_000
)
CONTROLS = ("\x1b]", "\x07", "\x9b", "\u202e", "\x00", "\x1b[31m", "\x1b[2J")


def text_of(canopy: Canopy, width: int = 100, height: int = 30, **more: Any) -> list[str]:
    return [line.plain for line in canopy.frame(width, height, 12.0, **more)]


def grown_canopy(strategy: Any, engine: Any, task: Task, budget: Budget | None = None) -> Canopy:
    canopy = Canopy(budget)

    def hear(event: Any) -> None:
        if isinstance(event, Noted | Answered):
            canopy.take(event)

    run(strategy(task, Seed(0)), engine, budget=budget or Budget(), listen=hear)
    return canopy


TASK = Task.of("Ann has 3 apples and buys 4 more. How many has she?", kind="number")
BEAM = Solve(Reasoning(), ProcessReward(), BeamSearch(width=2, branch=2, depth=4))


def test_a_run_is_shown_with_scores_texts_states_and_spending() -> None:
    task, _ = simulated_tasks(1)[0]
    canopy = grown_canopy(BEAM, Simulated(), task, Budget(tokens_out=100_000))
    lines = text_of(canopy)
    shown = "\n".join(lines)
    [best] = canopy.grove.winners()
    assert any(line.count("★") and f"{best.value:.3f}" in line for line in lines[:-5])
    assert "✓" in shown
    assert "tokens/s" in lines[-1]
    assert f"{canopy.grove.nodes:,} nodes" in lines[-1]
    held = canopy.spending(12.0)
    assert {"policy", "verifier"} <= set(held.roles)
    for role in ("policy", "verifier", "all"):
        assert any(line.startswith(f"{role} ") for line in lines)
    assert f"tokens out: {held.total.tokens_out:,} of 100,000" in shown


def test_the_spending_is_what_the_driver_counts() -> None:
    task, _ = simulated_tasks(1)[0]
    canopy = Canopy()
    heard: list[Any] = []
    done = run(BEAM(task, Seed(0)), Simulated(), listen=heard.append)
    for event in heard:
        if isinstance(event, Noted | Answered):
            canopy.take(event)
    assert canopy.spending(0.0).total == done.usage
    assert dict(canopy.spending(0.0).roles) == dict(done.roles)


def test_what_the_budget_cuts_is_shown_with_its_reason() -> None:
    task, _ = simulated_tasks(1)[0]
    budget = Budget(calls=6)
    canopy = grown_canopy(Solve(Answer(), Majority(), BestOf(12)), Simulated(), task, budget)
    shown = text_of(canopy)
    assert canopy.refused == 6
    assert sum(line.startswith("✂ asked for 1 calls") for line in shown) == 6
    assert any("6 lost to the budget: " in line and "calls" in line for line in shown)
    assert any(line.startswith("calls: 6 of 6 (100%)") for line in shown)


def test_a_bounded_window_shows_the_best_and_the_newest() -> None:
    canopy = Canopy()
    for i in range(2_000):
        parent = str((i - 1) // 3) if i else None
        canopy.take(Noted("", f"0/{i}#1", "expanded", {"id": str(i), "parent": parent}))
    scores = {"ids": ["77", "1234"], "values": [0.5, 0.987], "reasons": ["", ""]}
    canopy.take(Noted("", "#1", "scored", scores))
    for height in (6, 12, 24):
        lines = text_of(canopy, 80, height)
        assert len(lines) <= height
    shown = "\n".join(lines)
    assert "0.987 (1234)" in shown
    assert "(1999)" in shown
    hidden = next(m for line in lines if (m := re.match(r"… ([\d,]+) more nodes", line)))
    nodes = sum("(" in line for line in lines if re.search(r"\(\d+\)", line))
    assert int(hidden[1].replace(",", "")) == 2_000 - nodes


@pytest.mark.parametrize("width", [20, 40, 60, 200])
@pytest.mark.parametrize("plain", [False, True])
def test_every_line_fits(width: int, plain: bool) -> None:
    task, _ = simulated_tasks(1)[0]
    canopy = grown_canopy(Vote(BEAM, n=3), Simulated(), task, Budget(tokens_out=9_000, calls=99))
    for height in range(2, 30):
        lines = canopy.frame(width, height, 3.0, plain=plain)
        assert len(lines) <= height
        out = io.StringIO()
        Console(file=out, width=width, force_terminal=False).print(Group(*lines))
        assert len(out.getvalue().splitlines()) == len(lines)  # none is wrapped
        if plain:
            assert out.getvalue().isascii()


def test_hostile_texts_never_reach_the_terminal() -> None:
    canopy = Canopy(Budget(tokens_out=10))
    for path, text in (("0/0", EVIL), ("0/1", "fine")):
        reply = Reply(Completion(text), Usage(calls=1, tokens_out=3))
        canopy.take(
            Answered("", f"{path}#0", Generate(Prompt.raw("?"), 1, role=EVIL[:60]), reply, "")
        )
        canopy.take(Noted("", f"{path}#1", "expanded", {"id": text[:40], "parent": None}))
    canopy.take(Noted("", "0/2#1", "lost", {"id": "9", "cause": EVIL, "reason": EVIL}))
    canopy.take(Noted("", "#1", "escalated", {"level": 1, "reason": EVIL}))
    canopy.take(Noted("", "#2", "routed", {"arm": EVIL, "reason": [EVIL]}))
    canopy.take(Noted("", "#3", "tree", {"ids": [EVIL], "visits": ["x"], "values": [float("nan")]}))
    canopy.trouble = EVIL
    for width in (40, 120):
        for plain in (False, True):
            out = io.StringIO()
            lines = canopy.frame(width, 30, 1.0, plain=plain)
            Console(file=out, width=width, force_terminal=False).print(Group(*lines))
            shown = out.getvalue()
            assert "\x1b" not in shown
            for control in CONTROLS:
                assert control not in shown
            assert max(len(line) for line in shown.splitlines()) <= width


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What a terminal of 100 columns gets."""
    file = io.StringIO()
    out = Console(file=file, force_terminal=True, width=100, height=30, markup=False)
    monkeypatch.setattr("cogitate.apps.output.console", lambda **_: out)
    return file


def test_the_terminal_is_given_back(screen: io.StringIO) -> None:
    threads = threading.active_count()
    with watching(Budget(tokens_out=50), quiet=False, tree=True) as listen:
        assert listen is not None
        listen(Noted("", "0/0#1", "expanded", {"id": "a", "parent": None}))
        listen(Chunk("", "0/0#0", "some text"))
        listen(Finished(""))
        time.sleep(0.4)
        assert screen.getvalue().count("\x1b[?25l") == 1
    assert "(a)" in screen.getvalue()
    assert screen.getvalue().count("\x1b[?25h") == 1
    assert threading.active_count() == threads


def test_an_error_gives_the_terminal_back_too(screen: io.StringIO) -> None:
    def fail() -> None:
        with watching(None, quiet=False, tree=True) as listen:
            assert listen is not None
            listen(Noted("", "0/0#1", "expanded", {"id": "a", "parent": None}))
            time.sleep(0.3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert screen.getvalue().count("\x1b[?25l") == screen.getvalue().count("\x1b[?25h") == 1


def test_a_terminal_that_is_gone_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Gone(io.StringIO):
        def write(self, said: str) -> int:
            raise OSError("the terminal is gone")

    out = Console(file=Gone(), force_terminal=True, width=100, height=30)
    monkeypatch.setattr("cogitate.apps.output.console", lambda **_: out)
    with watching(None, quiet=False, tree=True) as listen:
        assert listen is not None
        for i in range(2):
            listen(Noted("", f"0/{i}#1", "expanded", {"id": str(i), "parent": None}))
            time.sleep(0.3)


def test_nothing_is_drawn_where_nothing_happens(screen: io.StringIO) -> None:
    with watching(None, quiet=False, tree=True):
        time.sleep(0.2)
    assert screen.getvalue() == ""


def test_a_short_run_leaves_its_last_frame(screen: io.StringIO) -> None:
    with watching(None, quiet=False, tree=True) as listen:
        run(BEAM(TASK, Seed(0)), FakeEngine(), listen=listen)
    assert "★" in screen.getvalue()
    assert "policy" in screen.getvalue()


@pytest.mark.parametrize(("share", "burnt_s", "most"), [(1e9, 0.0, 6), (0.01, 0.02, 3)])
def test_it_is_drawn_no_more_often_than_it_may(
    share: float, burnt_s: float, most: int, screen: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight times a second, and at a hundredth of the time; the last time after the end."""
    drawn: list[float] = []
    frame = Canopy.frame

    def slow(*arguments: Any, **more: Any) -> Any:
        drawn.append(time.monotonic())
        end = time.thread_time() + burnt_s
        while time.thread_time() < end:
            pass
        return frame(*arguments, **more)

    monkeypatch.setattr(Canopy, "frame", slow)
    monkeypatch.setattr("cogitate.apps.progress.SHARE", share)
    with watching(None, quiet=False, tree=True) as listen:
        assert listen is not None
        end = time.monotonic() + 0.6
        i = 0
        while time.monotonic() < end:
            listen(Noted("", f"0/{i}#1", "expanded", {"id": str(i), "parent": None}))
            i += 1
            time.sleep(0.001)
    assert 2 <= len(drawn) <= most


def test_why_nothing_happens_is_said(screen: io.StringIO) -> None:
    import logging

    log = logging.getLogger("cogitate.drive.lanes")
    with watching(None, quiet=False, tree=True) as listen:
        assert listen is not None
        listen(Noted("", "0/0#1", "expanded", {"id": "a", "parent": None}))
        log.info("trying again in %.1f s: the server \x1b[2J[bold]said[/bold] no", 7.0)
        time.sleep(0.4)
    assert "trying again in 7.0 s" in screen.getvalue()
    assert "[bold]said[/bold] no" in screen.getvalue()


def test_taking_in_costs_the_same_however_long_the_run_is() -> None:
    """Twenty times the events: linear work costs twenty times as much, a look at all 400 times; between lies noise."""

    def cost(nodes: int) -> float:
        canopy = Canopy()
        start = time.process_time()
        for i in range(nodes):
            canopy.take(Noted("", f"0/{i}#1", "expanded", {"id": str(i), "parent": str(i // 2)}))
            score = {"ids": [str(i)], "values": [i % 97 / 97], "reasons": [""]}
            canopy.take(Noted("", "#1", "scored", score))
            if i % 500 == 0:
                canopy.frame(100, 30, 1.0)
        return time.process_time() - start

    small = min(cost(1_000) for _ in range(3))
    assert cost(20_000) < 120 * small


# --------------------------------------------------------------------------------------- the command


def test_watch_and_json_exclude_each_other(cogitate: Command) -> None:
    said = cogitate("solve", "2 + 2?", "--model", "fake", "--watch", "--json")
    assert said.status == 1
    assert "leave one out" in said.json["error"]


def test_without_a_terminal_it_is_said_once(cogitate: Command) -> None:
    said = cogitate("solve", "2 + 2?", "--model", "fake(answers=['4'])", "--watch")
    assert said.status == 0
    assert said.out.endswith("4\n")
    assert said.err.count("is not a terminal, so --watch shows nothing") == 1
    assert "\x1b" not in said.err


needs_terminal = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")


@needs_terminal
@pytest.mark.slow
def test_an_interrupt_leaves_the_best_so_far_and_a_clean_terminal() -> None:
    import pty

    ours, theirs = pty.openpty()
    task, _ = simulated_tasks(1, difficulty=6)[0]
    arguments = [
        *("solve", str(task.messages[-1].content), "--kind", "number", "--watch", "--no-cache"),
        *("--model", "sim:arithmetic(skill=0.6, latency_s=0.3)", "--strategy", "best_of(n=400)"),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "cogitate", *arguments],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(theirs)
    got = b""
    asked = False
    while True:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other side is closed
            break
        if not piece:
            break
        got += piece
        if not asked and "●".encode() in got:
            process.send_signal(signal.SIGINT)
            asked = True
    os.close(ours)
    out = process.communicate(timeout=30)[0]
    shown = got.decode("utf-8", "replace")
    assert process.returncode == 130, shown[-2000:]
    assert out.strip()
    assert "this is the best so far" in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1
    assert "Traceback" not in shown


def test_spending_in_a_narrow_window_stays_whole() -> None:
    roles = {"policy": Usage(calls=120, tokens_in=30_000, tokens_out=9_123, usd=0.5, seconds=3.0)}
    lines = Spending(roles, Budget(usd=1.0, seconds=10.0), elapsed_s=5.0).lines(40)
    assert max(map(len, lines)) <= 40
    shown = "\n".join(lines)
    for part in ("120 calls", "30k tokens in", "9123 tokens out", "$0.5000 of $1.0000 (50%)"):
        assert part in shown
    assert "seconds: 5.0 of 10.0 (50%)" in shown
