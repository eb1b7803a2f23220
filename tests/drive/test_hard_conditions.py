"""The fault run in short: servers that misbehave in every way, and what must be left of them: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import test_utils, web

from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Limits
from cogitate.core.requests import Completion, Generate, Reply, Request
from cogitate.core.usage import ZERO, Budget, Usage
from cogitate.drive import Retry, run, run_async
from cogitate.engines.openai import OpenAICompatible, tally

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


# ---------------------------------------------------------------- what the fault run once found

PROMPT = Prompt.raw("question")
SOON = Retry(attempts=3, first_s=0.001, most_s=0.002)


class Tells:
    """Answers what it is told to."""

    fingerprint = "tells"
    serves = frozenset({Generate})
    limits = Limits(concurrency=8)

    def __init__(self, *outcomes: Any) -> None:
        self.outcomes = list(outcomes)

    def ceiling(self, request: Request[Any]) -> Usage:
        return Usage(tokens_in=400, tokens_out=request.max_tokens, calls=1)

    async def serve(self, batch: Sequence[Any], emit: Any = None) -> Sequence[Any]:
        return [self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0] for _ in batch]

    async def close(self) -> None: ...


async def asked(seed: int = 1) -> str:
    return (await Generate(PROMPT, seed=seed, max_tokens=100)).text


def said(usage: Usage = ZERO) -> Reply[Completion]:
    return Reply(Completion("yes"), usage)


@pytest.mark.parametrize(
    "cost",
    [
        Usage(tokens_out=10**400),
        Usage(tokens_out=-1),
        Usage(usd=float("nan")),
        Usage(flops=float("inf")),
    ],
)
@pytest.mark.parametrize("how", ["batch", "async"])
def test_a_cost_that_is_none_ends_the_call_and_not_the_run(cost: Usage, how: str) -> None:
    async def flow() -> str:
        try:
            return await asked()
        except Failed as failure:
            return str(failure)

    for outcome in (said(cost), Failed("no", "refused", usage=cost)):
        engine = Tells(outcome)
        budget = Budget(tokens_out=1000)
        done = (
            run(flow(), engine, budget=budget)
            if how == "batch"
            else asyncio.run(run_async(flow(), engine, budget=budget))
        )
        assert "a cost that is no cost" in done.value
        assert done.usage == ZERO
        assert done.idle


@pytest.mark.parametrize("kind", ["timeout", "cut"])
def test_a_call_that_broke_without_a_word_of_its_cost_is_estimated(kind: str) -> None:
    broken = Failed("broken", kind, transient=True)
    told = Failed("broken", kind, transient=True, usage=Usage(tokens_out=7, calls=1))
    unsent = Failed("unreachable", kind, transient=True, usage=ZERO)
    plain = Usage(tokens_out=5, calls=1)
    for failure, cost in (
        (broken, Usage(tokens_in=100, tokens_out=105, calls=2, estimated=True)),
        (told, Usage(tokens_out=12, calls=2)),
        (unsent, plain),
    ):
        done = asyncio.run(run_async(asked(), Tells(failure, said(plain)), retry=SOON))
        assert done.usage == cost


def test_other_failures_cost_what_they_tell() -> None:
    for kind in ("rate_limited", "crashed", "refused"):
        failure = Failed("no", kind, transient=True)
        done = asyncio.run(run_async(asked(), Tells(failure, said()), retry=SOON))
        assert done.usage == ZERO


def test_an_estimate_is_held_before_the_next_attempt() -> None:
    async def flow() -> str:
        try:
            return await asked()
        except Failed as failure:
            return failure.kind

    broken = Failed("broken", "timeout", transient=True)
    engine = Tells(broken, said(Usage(tokens_out=100)))
    done = asyncio.run(run_async(flow(), engine, retry=SOON, budget=Budget(tokens_out=199)))
    assert done.value == "timeout", "another attempt might cost more than is left"
    assert done.usage.tokens_out == 100
    assert not done.overdrawn
    assert done.idle


def test_refusals_without_end_leave_the_event_loop_its_turn() -> None:
    async def refused() -> None:
        for _ in range(10**9):
            with contextlib.suppress(OutOfBudget):
                await asked()

    async def whole() -> None:
        running = asyncio.ensure_future(
            run_async(refused(), Tells(said()), budget=Budget(tokens_out=1))
        )
        await asyncio.sleep(0.1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    asyncio.run(asyncio.wait_for(whole(), 10))


def test_counts_that_are_none_are_not_believed() -> None:
    for count in (10**400, 10**12, -1, "many", [3], 2.5, True, float("nan"), float("inf")):
        usage = {"prompt_tokens": count, "completion_tokens": count}
        assert tally.counted({"usage": usage}) is None


def test_a_text_that_cost_nothing_is_estimated() -> None:
    async def serve(request: web.Request) -> web.Response:
        choice = {"index": 0, "finish_reason": "stop", "message": {"content": "four words of text"}}
        usage = {"prompt_tokens": 0, "completion_tokens": 0}
        return web.json_response({"choices": [choice], "usage": usage})

    async def whole() -> Reply[Any]:
        app = web.Application()
        app.add_routes([web.post("/v1/completions", serve)])
        server = test_utils.TestServer(app)
        await server.start_server()
        engine = OpenAICompatible(str(server.make_url("/v1")), "toy", dialect="vllm")
        (outcome,) = await engine.serve([Generate(PROMPT, seed=1)])
        await engine.close()
        await server.close()
        return outcome

    found = asyncio.run(whole())
    assert isinstance(found, Reply), found
    assert found.usage.estimated
    assert found.usage.tokens_out > 0
