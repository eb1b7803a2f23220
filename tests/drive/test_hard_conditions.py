"""The fault run in short: servers that misbehave in every way, and what must be left of them: nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FAULTS = Path(__file__).parents[2] / "benchmarks" / "faults.py"


def fault_run(*arguments: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(FAULTS), "--json", *arguments],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    report = json.loads(done.stdout)
    assert report["problems"] == []
    assert done.returncode == 0, done.stderr
    return report


@pytest.mark.slow
def test_two_hundred_flows_survive_servers_that_misbehave() -> None:
    report = fault_run("--seconds", "20", "--flows", "200")
    flows = report["flows"]
    assert report["flows in all"] >= 200
    assert flows.get("answered", 0) >= 0.9 * report["flows in all"]
    assert all(kind.startswith(("answered", "failed", "no sibling")) for kind in flows)
    assert report["completed, charged as the server counts"] > 500
    assert report["cut by the server, charged as estimates"] > 20
    assert report["estimated"]
    assert len(report["faults"]) >= 15, "every fault and every lie was told"
