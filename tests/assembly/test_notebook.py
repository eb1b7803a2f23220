"""`solve` in a real Jupyter kernel: inside a running loop, shown as HTML, interrupted."""

from __future__ import annotations

import queue
import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ipykernel")
manager = pytest.importorskip("jupyter_client.manager")

pytestmark = [
    pytest.mark.timeout(240),
    # jupyter_client's own: it probes for a free port and leaves the socket to the collector
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def kernel() -> Iterator[tuple[Any, Any]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        running, client = manager.start_new_kernel(kernel_name="python3", startup_timeout=120)
    yield running, client
    client.stop_channels()
    running.shutdown_kernel(now=True)


def outputs(client: Any, message: str, timeout_s: float = 90) -> dict[str, Any]:
    """What a cell printed, showed and raised."""
    found: dict[str, Any] = {"text": "", "html": "", "plain": "", "error": ""}
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            said = client.get_iopub_msg(timeout=1)
        except queue.Empty:
            continue
        if said["parent_header"].get("msg_id") != message:
            continue
        kind, content = said["msg_type"], said["content"]
        if kind == "stream":
            found["text"] += content["text"]
        elif kind in ("execute_result", "display_data"):
            found["html"] += content["data"].get("text/html", "")
            found["plain"] += content["data"].get("text/plain", "")
        elif kind == "error":
            found["error"] = f"{content['ename']}: {content['evalue']}"
        elif kind == "status" and content["execution_state"] == "idle":
            return found
    raise AssertionError("the cell did not end")


def run_cell(client: Any, code: str) -> dict[str, Any]:
    found = outputs(client, client.execute(code))
    assert not found["error"], found["error"]
    return found


def test_solve_inside_the_running_loop(kernel: tuple[Any, Any]) -> None:
    _, client = kernel
    run_cell(
        client, "import asyncio, cogitate as cg\nassert asyncio.get_running_loop().is_running()"
    )
    shown = run_cell(client, "cg.solve('<b>2 + 2?</b>', model='fake', kind='number')")
    assert "<table>" in shown["html"]
    assert "<script" not in shown["html"]
    awaited = run_cell(
        client, "(await cg.solve_async('2 + 2?', model='fake', kind='number')).answer"
    )
    assert awaited["plain"].strip("'").isdigit()
    many = run_cell(
        client,
        "tasks = [cg.Task.of(f'{n} + 1?', kind='number') for n in range(3)]\n"
        "len([r async for r in cg.solve_many(tasks, model='fake')])",
    )
    assert many["plain"] == "3"


def test_the_stop_button_returns_the_best_so_far(kernel: tuple[Any, Any]) -> None:
    running, client = kernel
    message = client.execute(
        # A model that answers steadily: a batch of the fake's heavy-tailed waits may give nothing in time.
        "import time, cogitate as cg\nprint('begun', flush=True)\n"
        "def slow(prompt: str) -> str:\n    time.sleep(0.05)\n    return '#### 4'\n"
        "r = cg.solve('2 + 2?', model=cg.model(slow), kind='number',\n"
        "    strategy='best_of(n=2000, scorer=majority())')\n"
        "print(r.stopped, len(r.candidates) > 0, r.answer is not None)"
    )
    time.sleep(4)
    running.interrupt_kernel()
    found = outputs(client, message)
    assert not found["error"], found["error"]
    assert "interrupted True True" in found["text"]
    assert run_cell(client, "cg.solve('3?', model='fake').stopped")["plain"] == "''"
