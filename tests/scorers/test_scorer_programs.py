from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path

import pytest

from cogitate.assembly import read, solve
from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.code_tests import FunctionTests, IoCase, IoTests
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.execute import Execute, Execution, ExecutionLimits, Run
from cogitate.core.flow import gather
from cogitate.core.task import Task
from cogitate.drive import Router, run, run_async
from cogitate.engines.sandbox import Sandbox
from cogitate.engines.sandbox.layers import works
from cogitate.scorers import Checks, GeneratedTests, Passes, run_checks, run_tests
from cogitate.testing import Scripted

isolated = pytest.mark.skipif(not works(), reason="this machine cannot isolate programs")
TASK = Task.of("Write add(a, b).", kind="code", checks=("assert add(1, 2) == 3", "assert add(0, 0) == 0"))  # fmt: skip
ADD, WRONG, LOUD = (
    "def add(a, b):\n    return a + b",
    "def add(a, b):\n    return a * b",
    "def add(a, b):\n    raise ValueError('no')",
)


def sandboxed(flow, write=None):
    """Drive with the real sandbox, and a scripted model where one is asked."""

    async def drive():
        box = Sandbox()
        try:
            engine = Router({"policy": (Scripted({"judge": write or (lambda r: "")}),)}, [box])
            return (await run_async(flow, engine)).value
        finally:
            await box.close()

    return asyncio.run(drive())


def artifact(program: str | None, *, complete: bool = True) -> Artifact:
    return Artifact(program or "prose", program, "code", complete)


# ------------------------------------------------------------------------------- with a sandbox


@isolated
def test_functions_are_tested_from_outside() -> None:
    tests = FunctionTests("add", "def check(f):\n    assert f(1, 2) == 3\ncheck(add)")

    async def all_of_them():
        fakes = ("import os\nos._exit(0)", "import sys\nsys.exit(0)", "print('ok')", "add = ")
        return await gather(*(run_tests(p, tests) for p in (ADD, WRONG, LOUD, *fakes)))

    verdicts = sandboxed(all_of_them())
    assert [v.all for v in verdicts] == [True] + [False] * 6
    assert "ValueError: no" in verdicts[2].reason
    assert all(v.reason for v in verdicts[1:])


@isolated
def test_an_answer_may_be_a_body_or_a_whole_function() -> None:
    tests = FunctionTests(
        "area",
        "assert area(2) == 12 and twice(3) == 6",
        "import math\n\ndef twice(x):\n    return 2 * x\n\ndef area(r):\n    '''The area.'''\n",
    )

    async def both():
        body = "    return twice(math.floor(math.pi)) * r"
        whole = "def area(r):\n    return twice(3) * r"
        return await gather(run_tests(body, tests), run_tests(whole, tests))

    assert [v.all for v in sandboxed(both())] == [True, True]


@isolated
def test_output_is_compared_as_contests_do() -> None:
    double = IoTests((IoCase("2\n", "4"), IoCase("5\n", "10"), IoCase("x\n", "?")))
    halves = IoTests((IoCase("1\n", "0.5"), IoCase("2\n", "0.66667")), compare="numbers")
    free = IoTests(
        (IoCase("6\n", ""), IoCase("35\n", "")),
        checker=(
            "n = int(open('input.txt').read())\n"
            "a, b = map(int, open('output.txt').read().split())\n"
            "assert a * b == n and 1 < a and 1 < b"
        ),
    )
    factors = "n = int(input())\nprint(next((d, n // d) for d in range(2, n) if n % d == 0))"

    async def three():
        return await gather(
            run_tests("print(int(input()) * 2)", double),
            run_tests("print(1 / 2 if int(input()) == 1 else 2 / 3)", halves),
            run_tests(factors.replace("print(", "print(*"), free),
            run_tests("print(1, input())", free),
        )

    doubled, halved, right, wrong = sandboxed(three())
    assert doubled.passed == (True, True, False)
    assert "ValueError" in doubled.reasons[2]
    assert halved.all is False
    assert halved.passed == (True, False)  # 0.66667 is 3e-6 away
    assert right.all
    assert wrong.passed == (False, False)


@isolated
def test_checks_are_verdicts_of_their_own() -> None:
    checks = ("assert add(1, 2) == 3", "assert add(2, 2) == 5", "assert missing(1)", "assert all(add(x, 0) == x for x in [1, 2])")  # fmt: skip

    async def two():
        return await gather(run_checks(ADD, checks), run_checks("syntax error", checks))

    verdict, broken = sandboxed(two())
    assert verdict.passed == (True, False, False, True)
    assert verdict.share == 0.5
    assert "NameError" in verdict.reasons[2]
    assert broken.passed == (False,) * 4


@isolated
def test_a_program_cannot_print_its_verdict() -> None:
    forged = (
        "import json, os, sys\n"
        "def add(a, b):\n"
        "    for f in (1, 2, 3, 4, 5):\n"
        "        try: os.write(f, b'\\n' + json.dumps(['', '']).encode() + b'\\n')\n"
        "        except OSError: pass\n"
        "    os._exit(0)\n"
    )
    [score] = sandboxed(Checks()(TASK, [artifact(forged)]))
    assert isinstance(score, Score)
    assert score.value == 0


@isolated
def test_scores_of_programs() -> None:
    states = [artifact(p) for p in (ADD, WRONG, None, ADD)] + [artifact(ADD, complete=False)]
    scores = sandboxed(Checks()(TASK, states))
    assert [s.value if isinstance(s, Score) else None for s in scores] == [1, 0.5, None, 1, None]
    strict = sandboxed(Checks(share=False)(TASK, states))
    assert [s.value if isinstance(s, Score) else None for s in strict] == [1, 0, None, 1, None]
    assert isinstance(scores[1], Score)
    assert scores[1].critique is not None
    assert scores[1].features["passed"] == (0.0, 1.0)
    whole = sandboxed(Passes(FunctionTests("add", "assert add(2, 2) == 4"))(TASK, states[:2]))
    assert [s.value for s in whole] == [1, 1]  # 2 + 2 and 2 * 2 agree


@isolated
def test_generated_tests_by_hand() -> None:
    """CodeT: two right programs pass {1, 2}, one wrong passes {2}; check 3 says nothing, check 4 is no check."""
    written = "assert add(1, 2) == 3\nassert add(2, 2) == 4\nassert add(1, 1) == 7\nnot a check"
    states = [artifact(ADD), artifact(WRONG), artifact(ADD + "  # again")]
    flow = GeneratedTests()(TASK, states)
    scores = sandboxed(flow, lambda request: written)
    assert [s.value for s in scores] == pytest.approx([4 / 6, 1 / 6, 4 / 6])
    shares = sandboxed(GeneratedTests(agreement=False)(TASK, states), lambda request: written)
    assert [s.value for s in shares] == [1, 0.5, 1]


@isolated
def test_it_runs_behind_solve() -> None:
    programs = iter([WRONG, ADD, LOUD, ADD])

    def write(prompt: str) -> str:
        return f"```python\n{next(programs)}\n```"

    from cogitate import model

    found = solve(TASK, model=model(write, name="coder"), strategy="best_of(n=4, scorer=checks())")
    assert found.answer == ADD
    assert found.score == 1.0


HUMANEVAL = Path(os.environ.get("COGITATE_DATA", "shared/data")) / "humaneval/HumanEval.jsonl.gz"


@isolated
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not HUMANEVAL.is_file(), reason="set COGITATE_DATA to the folder of the data")
def test_humaneval_ten_times_without_a_flake() -> None:
    """All reference solutions pass, and all with a planted bug fail."""
    with gzip.open(HUMANEVAL) as lines:
        rows = [json.loads(line) for line in lines]
    assert len(rows) == 164

    def tests(row: dict[str, str]) -> FunctionTests:
        call = f"\ncheck({row['entry_point']})"
        return FunctionTests(row["entry_point"], row["test"] + call, row["prompt"])

    def planted(row: dict[str, str]) -> str:
        """The reference with its last return value spoilt."""
        head, _, tail = row["canonical_solution"].rpartition("return")
        value = tail.strip().replace("\n", " ")
        spoil = "return not x if isinstance(x, bool) else [x, 'spoilt']"
        return f"{head}return _spoilt(({value}))\n\ndef _spoilt(x):\n    {spoil}\n"

    async def all_rows(bad: bool):
        programs = [planted(row) if bad else row["canonical_solution"] for row in rows]
        return await gather(*(run_tests(p, tests(r)) for p, r in zip(programs, rows, strict=True)))

    for _ in range(10):
        good = sandboxed(all_rows(bad=False))
        assert [r["task_id"] for r, v in zip(rows, good, strict=True) if not v.all] == []
        bad = sandboxed(all_rows(bad=True))
        assert [r["task_id"] for r, v in zip(rows, bad, strict=True) if v.all] == []


# ---------------------------------------------------------------------------- without a sandbox


def test_a_sandbox_that_refuses_leaves_candidates_unscored() -> None:
    def refuse(request: Execute) -> Execution:
        raise Failed("this machine cannot isolate programs", "refused")

    for scorer in (Checks(), Passes(FunctionTests("add", "assert add(1, 1) == 2"))):
        [score] = run(scorer(TASK, [artifact(ADD)]), Scripted({"sandbox": refuse})).value
        assert isinstance(score, Unscored)
        assert "cannot isolate" in score.reason


def test_equal_programs_run_once() -> None:
    seen: list[Execute] = []

    def ok(request: Execute) -> Execution:
        seen.append(request)
        return Execution((Run("", "", 0, "ok", True),), Run('\n["", ""]\n', "", 0, "ok", True))

    scores = run(Checks()(TASK, [artifact(ADD)] * 5), Scripted({"sandbox": ok})).value
    assert len(seen) == 1
    assert [s.value for s in scores] == [1.0] * 5  # type: ignore[union-attr]


@pytest.mark.parametrize("printed", ["", "no json", "[1]", '{"a": 1}', '["", "", ""]'])
def test_a_harness_that_says_nonsense_is_a_failure(printed: str) -> None:
    def odd(request: Execute) -> Execution:
        run_ = Run("", "", 0, "ok", True)
        return Execution((run_,), Run(printed, "Killed", 1, "error"))

    verdict = run(run_checks(ADD, TASK.checks), Scripted({"sandbox": odd})).value
    assert verdict.passed == (False, False)
    assert verdict.reason == "Killed"


def test_what_is_missing_is_said() -> None:
    [score] = run(Checks()(Task.of("?", kind="code"), [artifact(ADD)]), Scripted({})).value
    assert isinstance(score, Unscored)
    assert "no checks" in score.reason
    [score] = run(
        GeneratedTests()(TASK, [artifact(ADD)]), Scripted({"judge": lambda r: "hm"})
    ).value
    assert isinstance(score, Unscored)
    assert "no check that can be read" in score.reason
    with pytest.raises(InvalidInput, match="for Python"):
        run(run_tests(ADD, FunctionTests("f", "f()"), language="c++"), Scripted({}))
    with pytest.raises(InvalidInput, match="without a case"):
        IoTests(())
    with pytest.raises(InvalidInput, match="its name"):
        FunctionTests("not a name", "x")


def test_specs() -> None:
    made = read("best_of(scorer=generated_tests(samples=2, seconds=3))").for_kind("code").scorer
    assert made == GeneratedTests(2, limits=ExecutionLimits(seconds=3, cpu_seconds=3))
    with pytest.raises(InvalidInput, match="seconds=0"):
        read("best_of(scorer=checks(seconds=0))")
