"""Accuracy and coverage do not mix: a type error where a checker runs, a TypeError where none does."""

from __future__ import annotations

import json
import operator
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.bench.metrics import Accuracy, Coverage, Curve, Point, average, plain

A = Accuracy(10, 0.5, 0.2, 0.8, "wilson", (0,))
C = Coverage(10, 0.9, 0.6, 1.0, "wilson", (0,))

MIXTURES = {
    "add": "A + C",
    "sum": "sum([A, C])",
    "subtract": "A - C",
    "less": "A < C",
    "at least": "C >= A",
    "greatest": "max(A, C)",
    "average": "average([A, C])",
    "curve": 'Curve("t", "m", "l", "n", (Point(1, A), Point(2, C)))',
    "declared": 'c: Curve[Accuracy] = Curve("t", "m", "l", "n", (Point(1, C),))',
    "float": "float(A)",
}


@pytest.mark.parametrize("mixture", [k for k in MIXTURES if k != "declared"])
def test_mixtures_are_refused_at_run_time(mixture):
    code = compile(MIXTURES[mixture], mixture, "exec")
    with pytest.raises(TypeError):
        exec(code, globals())


def test_the_refusal_says_what_was_mixed():
    with pytest.raises(TypeError, match="an Accuracy was set against a Coverage"):
        operator.lt(A, C)
    with pytest.raises(TypeError, match="an Accuracy and a Coverage were added"):
        operator.add(A, C)
    with pytest.raises(TypeError, match="Accuracy and Coverage were put together"):
        average([A, C])
    with pytest.raises(TypeError):
        fmean([A, C])
    assert replace(A, low=0.1) != A
    assert Coverage(A.n, A.estimate, A.low, A.high, A.method, A.seeds) != A


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_mixtures_are_type_errors(tmp_path: Path):
    checker = Path(sys.executable).with_name("basedpyright")
    if not checker.exists() and shutil.which("basedpyright") is None:
        pytest.skip("basedpyright is not installed")
    head = (
        "from cogitate.bench.metrics import Accuracy, Coverage, Curve, Point, average\n"
        "A = Accuracy(1, 0.5, 0.0, 1.0, 'wilson')\n"
        "C = Coverage(1, 0.5, 0.0, 1.0, 'wilson')\n"
    )
    fine = (
        "x: Accuracy = average([A, A])\ny: float = A - A\nz: bool = A < A\n"
        "w: Curve[Coverage] = Curve('t', 'm', 'l', 'n', (Point(1, C), Point(2, C)))\n"
    )
    # `max` takes whatever compares with anything of its own, so only running tells
    shown = [code for name, code in MIXTURES.items() if name != "greatest"]
    lines = [code if code.startswith("c:") else f"m{i} = {code}" for i, code in enumerate(shown)]
    (tmp_path / "snippet.py").write_text(head + fine + "\n".join(lines) + "\n")
    settings = {
        "include": ["snippet.py"],
        "typeCheckingMode": "standard",
        "extraPaths": [str(Path.cwd() / "src")],
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(
        [str(checker) if checker.exists() else "basedpyright", "--outputjson", "-p", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    wrong = {d["range"]["start"]["line"] for d in found if d["severity"] == "error"}
    first = len((head + fine).splitlines())
    assert wrong == set(range(first, first + len(lines)))


@given(st.lists(st.tuples(st.integers(1, 50), st.floats(0.2, 0.8)), min_size=1, max_size=5))
def test_an_average_lies_within_its_interval_and_narrows(parts):
    values = [Accuracy(n, p, p - 0.2, p + 0.2, "wilson") for n, p in parts]
    found = average(values)
    assert found.low <= found.estimate <= found.high
    assert found.high - found.low <= 0.4 + 1e-12
    assert found.n == sum(n for n, _ in parts)
    assert type(found) is Accuracy


def test_json_says_the_kind_and_holds_no_nan():
    said = plain(Curve("t", "m", "l", "n", (Point(1, replace(C, high=float("nan"))),)))
    assert said["points"][0]["value"]["kind"] == "coverage"
    assert said["points"][0]["value"]["high"] is None
    json.dumps(said, allow_nan=False)
