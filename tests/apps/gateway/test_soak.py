"""The soak of the gateway: short in the default suite, three minutes in the slow one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

for needed in ("starlette", "uvicorn", "sqlalchemy", "prometheus_client"):
    pytest.importorskip(needed)
if not Path("/proc/self/fd").exists():
    pytest.skip("counts descriptors as Linux shows them", allow_module_level=True)

SOAK = Path(__file__).parents[3] / "benchmarks" / "gateway_soak.py"


def soak(*arguments: str, seconds: float) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(SOAK), "--json", "--seconds", f"{seconds}", *arguments],
        capture_output=True,
        text=True,
        timeout=seconds + 100,
        check=False,
    )
    assert done.stdout, done.stderr[-2000:]
    report = json.loads(done.stdout)
    assert report["problems"] == []
    assert done.returncode == 0, done.stderr[-2000:]
    return report


def test_nothing_is_left_after_seconds_of_faults() -> None:
    report = soak("--quick", seconds=1.5)
    assert report["requests"] >= 30
    assert report["charged as the server counts"] >= 10
    assert report["told their usage"] >= 10
    assert len(report["faults"]) >= 4


@pytest.mark.slow
@pytest.mark.timeout(320)
def test_nothing_is_left_after_three_minutes_of_faults() -> None:
    report = soak(seconds=180.0)
    assert report["requests"] >= 2000
    assert report["charged as the server counts"] >= 500
    assert report["charged as estimates"] >= 100
    assert len(report["faults"]) == 11, "every fault, and none"
    outcomes = report["outcomes"]
    assert all(any(way in outcome for outcome in outcomes) for way in ("left", "408", "401", "429"))
