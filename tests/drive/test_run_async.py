"""The asynchronous driver: latencies, cancelling, engines that misbehave, deadlines, stopping."""

from __future__ import annotations

import asyncio
import errno
import random
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.events import Chunk
from cogitate.core.flow import Flow, Pool, each, gather, note
from cogitate.core.journal import Tape
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Limits
from cogitate.core.requests import Completion, Generate, Grade, Grades, Reply, Request
from cogitate.core.usage import Budget, Usage
from cogitate.drive import FileJournal, Retry, Run, Stop, replay, run, run_async

PROMPT = Prompt.raw("question")
SOON = Retry(attempts=4, first_s=0.001, most_s=0.002)


class Slow:
    """Answers after a while; `act` may do something else for a request."""

    fingerprint = "slow"
    serves = frozenset({Generate, Grade})

    def __init__(self, latency_s: Any = 0.0, act: Any = None, **limits: Any) -> None:
        self.latency_s, self.act = latency_s, act
        self.limits = Limits(**({"concurrency": 64} | limits))
        self.batches: list[list[Any]] = []
        self.running = self.peak = self.cut = 0

    def ceiling(self, request: Request[Any]) -> Usage:
        if isinstance(request, Grade):
            return Usage()
        return Usage(tokens_out=request.max_tokens, calls=1)

    async def serve(self, batch: Sequence[Any], emit: Any) -> Sequence[Any]:
        self.batches.append(list(batch))
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            if self.act is not None:
                acted = self.act(batch)
                acted = await acted if asyncio.iscoroutine(acted) else acted
                if acted is not None:
                    return acted
            latency = self.latency_s(batch) if callable(self.latency_s) else self.latency_s
            await asyncio.sleep(latency)
            emit(0, str(getattr(batch[0], "seed", "")))
            return [self.reply(request) for request in batch]
        except asyncio.CancelledError:
            self.cut += 1
            raise
        finally:
            self.running -= 1

    def reply(self, request: Any) -> Any:
        if isinstance(request, Grade):
            return Reply(Grades((), ()))
        return Reply(Completion(str(request.seed), tokens=20), Usage(tokens_out=20, calls=1))

    async def close(self) -> None: ...


async def sample(seed: int, **options: Any) -> int:
    return int((await Generate(PROMPT, seed=seed, **options)).text)


async def tree(depth: int, label: int = 1) -> Any:
    value = await sample(label)
    if not depth:
        return value
    return [value, await gather(*(tree(depth - 1, 3 * label + i) for i in range(3)))]


def drive(flow: Flow[Any], engine: Any, **options: Any) -> Run[Any]:
    """Run, and see that no task and no thread is left behind."""

    async def whole() -> Run[Any]:
        done = await run_async(flow, engine, **options)
        left = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        assert left == []
        return done

    threads = threading.active_count()
    done = asyncio.run(whole())
    assert threading.active_count() == threads
    assert done.idle
    return done


# --------------------------------------------------------------------------------- latencies


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "limits", [{}, {"concurrency": 2}, {"max_batch": 4, "mixed": True, "linger_s": 0.002}]
)
def test_random_latencies_give_the_answer_of_the_batch_driver(
    seed: int, limits: dict[str, Any]
) -> None:
    rng = random.Random(seed)
    want = run(tree(3), Instant())
    got = drive(tree(3), Slow(lambda _: rng.random() * 0.003, **limits), budget=Budget(calls=99))
    assert (got.value, got.usage) == (want.value, want.usage)


class Instant(Slow):
    async def serve(self, batch: Sequence[Any], emit: Any = None) -> Sequence[Any]:
        return [self.reply(r) for r in batch]


def test_concurrency_is_used_and_kept() -> None:
    engine = Slow(0.001, concurrency=5)
    drive(gather(*(sample(i) for i in range(40))), engine)
    assert engine.peak == 5


def test_chunks_are_heard_and_never_journaled() -> None:
    heard: list[Any] = []
    tape = Tape()
    drive(sample(1, final=True), Slow(), journal=tape, listen=heard.append)
    assert [(e.text, e.final) for e in heard if isinstance(e, Chunk)] == [("1", True)]
    assert [r["kind"] for _, r in tape.records] == ["reply"]


def test_a_binding_grant_replays_exactly() -> None:
    async def flow() -> Any:
        kept = await gather(*(sample(i, max_tokens=50) for i in range(30)), drop=(OutOfBudget,))
        await note("kept", n=len(kept))
        return kept

    rng = random.Random(1)
    tape = Tape()
    grant = Budget(tokens_out=300)
    done = drive(flow(), Slow(lambda _: rng.random() * 0.003), budget=grant, journal=tape)
    assert 250 < done.usage.tokens_out <= 300
    again = replay(flow(), Tape(tape.records), budget=grant)
    assert (again.value, again.usage) == (done.value, done.usage)


async def greedy(n: int) -> Any:
    """The first asks for more than a small grant has, so that replies are recorded after a refusal."""
    return await gather(
        sample(10 * n, max_tokens=500), sample(10 * n + 1), sample(10 * n + 2), drop=(OutOfBudget,)
    )


class Frugal(Slow):
    def ceiling(self, request: Request[Any]) -> Usage:
        return Usage(tokens_out=request.max_tokens if request.max_tokens == 500 else 20, calls=1)


def test_a_larger_grant_reads_the_cache_at_its_recorded_usage() -> None:
    tape = Tape()
    first = drive(greedy(0), Frugal(), budget=Budget(tokens_out=100), journal=tape)
    assert first.value == [1, 2]
    assert [r["kind"] for _, r in tape.records] == ["denied", "reply", "reply"]
    engine, again = Frugal(), Tape(tape.records)
    done = drive(
        greedy(0), engine, budget=Budget(tokens_out=540), journal=again, keep_refusals=False
    )
    assert done.value == [0, 1, 2]
    assert [r.seed for b in engine.batches for r in b] == [0]
    assert done.usage == Usage(tokens_out=60, calls=3)
    assert done.cached == Usage(tokens_out=40, calls=2)
    assert replay(greedy(0), Tape(again.records)).usage == done.usage


def test_cached_replies_serve_streams_that_begin_later() -> None:
    async def flow() -> Any:
        return [v async for v in each(range(4), greedy, at_most=1)]

    tape = Tape()
    first = drive(flow(), Frugal(), budget=Budget(tokens_out=160), journal=tape)
    assert [len(v) for v in first.value] == [2, 2, 2, 2]
    engine = Frugal()
    done = drive(flow(), engine, journal=Tape(tape.records), keep_refusals=False)
    assert [r.seed for b in engine.batches for r in b] == [0, 10, 20, 30]
    assert done.usage == Usage(tokens_out=240, calls=12)
    assert done.cached == Usage(tokens_out=160, calls=8)


# -------------------------------------------------------------------------------- cancelling


@pytest.mark.parametrize("concurrency", [4, 32])
def test_stopping_early_over_many_samples_ends_and_leaves_nothing(concurrency: int) -> None:
    async def flow() -> int:
        votes = 0
        async with Pool() as pool:
            for i in range(128):
                await pool.add(sample(i))
            while votes < 10:
                await pool.next()
                votes += 1
        return votes

    engine = Slow(0.005, concurrency=concurrency)
    start = time.monotonic()
    done = drive(flow(), engine, budget=Budget(tokens_out=10**6))
    assert done.value == 10
    assert time.monotonic() - start < 5
    assert engine.running == 0
    assert engine.peak <= concurrency
    assert sum(map(len, engine.batches)) <= 10 + 2 * concurrency
    # and the permits came back: the same engine serves again
    assert drive(gather(*(sample(i) for i in range(concurrency))), engine).value == list(
        range(concurrency)
    )


def test_surplus_that_was_cut_is_charged_and_journaled() -> None:
    async def flow() -> Any:
        async with Pool() as pool:
            await pool.add(sample(0))
            await pool.add(sample(1, max_tokens=77))
            return await pool.next()

    tape = Tape()
    engine = Slow(lambda batch: 0.0 if batch[0].seed == 0 else 60)
    done = drive(flow(), engine, budget=Budget(tokens_out=5000), journal=tape)
    assert engine.cut == 1
    assert done.usage.calls == 2
    assert 20 < done.usage.tokens_out <= 97
    assert done.usage.estimated
    assert [r["kind"] for _, r in tape.records] == ["reply", "late"]
    assert replay(flow(), Tape(tape.records)).usage == done.usage


def test_surplus_is_cut_at_once_and_its_place_is_free() -> None:
    async def flow() -> Any:
        async with Pool() as pool:
            await pool.add(sample(0))
            await pool.add(sample(1))
            await pool.next()
        return await gather(sample(2), sample(3))

    engine = Slow(lambda batch: 60 if batch[0].seed == 1 else 0.01, concurrency=2)
    together: list[int] = []

    def act(batch: Sequence[Any]) -> None:
        if batch[0].seed > 1:
            together.append(engine.running)

    engine.act = act
    assert drive(flow(), engine).value == [2, 3]
    assert together == [1, 2]


def test_a_call_that_was_never_sent_costs_nothing() -> None:
    async def flow() -> Any:
        async with Pool() as pool:
            for i in range(100):
                await pool.add(sample(i))
            return await pool.next()

    done = drive(flow(), Slow(0.002, concurrency=1))
    assert done.usage.calls <= 2


def test_losing_one_sibling_cancels_nothing() -> None:
    async def flow() -> Any:
        async with Pool() as pool:
            for i in range(4):
                await pool.add(sample(i))
            await pool.add(Generate_other())
            return await pool.next()

    async def Generate_other() -> str:
        return (await Generate(Prompt.raw("other"), seed=0)).text

    async def siblings() -> Any:
        async def pair() -> Any:
            async with Pool() as pool:
                await pool.add(sample(2))
                await pool.add(Generate_other())
                return await pool.next()

        return await gather(sample(0), sample(1), pair())

    engine = Slow(lambda batch: 0.0 if batch[0].prompt != PROMPT else 0.02, max_batch=8)
    done = drive(siblings(), engine)
    assert [len(b) for b in engine.batches] == [3, 1], "one group is one call"
    assert engine.cut == 0, "two siblings are still waited for"
    assert done.value[:2] == [0, 1]
    assert done.value[2] == (1, "0")
    assert done.usage.calls == 4

    engine = Slow(lambda batch: 0.0 if batch[0].prompt != PROMPT else 60, max_batch=8)
    assert drive(flow(), engine).value == (4, "0")
    assert engine.cut == 1, "nobody waits for any of them"


def test_cancelling_the_run_leaves_nothing() -> None:
    ended: list[int] = []

    async def child(n: int) -> None:
        try:
            await sample(n)
        finally:
            ended.append(n)

    engine = Slow(60, concurrency=3)

    async def whole() -> None:
        task = asyncio.create_task(run_async(gather(*(child(n) for n in range(9))), engine))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(whole())
    assert sorted(ended) == list(range(9))
    assert (engine.running, engine.cut) == (0, 3)


def test_an_error_of_the_flow_cuts_its_calls() -> None:
    async def flow() -> None:
        async with Pool() as pool:
            await pool.add(sample(1))
            await sample(0)
            raise LookupError("flow")

    engine = Slow(lambda b: 60 * b[0].seed)
    with pytest.raises(LookupError, match="flow"):
        drive(flow(), engine)
    assert (engine.running, engine.cut) == (0, 1)


# -------------------------------------------------------------------- engines that misbehave


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda b: [], "answered 0 of 1"),
        (lambda b: [None], "answered with a NoneType"),
        (lambda b: 5, "TypeError"),
        (lambda b: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_an_engine_that_breaks_is_a_failed_call(answer: Any, said: str) -> None:
    with pytest.raises(Failed, match=said) as found:
        drive(sample(0), Slow(act=answer))
    assert found.value.kind == "crashed"


def failing(times: int, **failure: Any) -> Any:
    seen: dict[int, int] = {}

    def act(batch: Sequence[Any]) -> Any:
        seed = batch[0].seed
        seen[seed] = seen.get(seed, 0) + 1
        if seen[seed] <= times:
            return [Failed("busy", "rate_limited", transient=True, **failure) for _ in batch]
        return None

    return act


def test_transient_failures_are_tried_again_and_paid_for() -> None:
    engine = Slow(act=failing(2, usage=Usage(tokens_out=3, calls=1)))
    tape = Tape()
    done = drive(gather(sample(0), sample(1)), engine, retry=SOON, journal=tape)
    assert done.value == [0, 1]
    assert done.usage == Usage(tokens_out=2 * 26, calls=6)
    assert replay(gather(sample(0), sample(1)), Tape(tape.records)).usage == done.usage


def test_retries_end() -> None:
    engine = Slow(act=failing(99))
    with pytest.raises(Failed, match="busy"):
        drive(sample(0), engine, retry=SOON)
    assert len(engine.batches) == 4


def test_a_permanent_failure_is_not_tried_again() -> None:
    engine = Slow(act=lambda b: [Failed("no", "refused")])
    with pytest.raises(Failed, match="no"):
        drive(sample(0), engine, retry=SOON)
    assert len(engine.batches) == 1


def test_a_retry_waits_as_long_as_the_server_says() -> None:
    engine = Slow(act=failing(1, retry_after_s=0.08))
    start = time.monotonic()
    drive(sample(0), engine, retry=SOON)
    assert time.monotonic() - start >= 0.08


def test_retries_stay_within_the_grant() -> None:
    engine = Slow(act=failing(99, usage=Usage(tokens_out=20, calls=1)))
    retry = Retry(attempts=50, first_s=0.001, most_s=0.002)
    with pytest.raises(Failed, match="busy"):
        drive(sample(0, max_tokens=20), engine, retry=retry, budget=Budget(tokens_out=70))
    assert len(engine.batches) == 3


def test_one_failure_for_a_whole_batch_is_charged_once_a_request() -> None:
    spent = Usage(tokens_out=2, calls=1)

    def act(batch: Sequence[Any]) -> Any:
        return [Failed("same", transient=True, usage=spent)] * len(batch)

    async def one(seed: int) -> str:
        try:
            await sample(seed)
        except Failed as failure:
            return f"{failure.usage.tokens_out if failure.usage else 0}"
        return ""

    engine = Slow(act=act, max_batch=8)
    done = drive(gather(*(one(i) for i in range(3))), engine, retry=Retry(2, 0.001, most_s=0.001))
    assert done.value == ["4", "4", "4"]
    assert done.usage == Usage(tokens_out=12, calls=6)


def test_an_engine_may_take_its_time_to_cancel() -> None:
    cancelled = 0
    cleaned: list[int] = []

    async def stubborn(batch: Sequence[Any]) -> Any:
        nonlocal cancelled
        if batch[0].seed == 0:
            return None
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            cancelled += 1
            await asyncio.sleep(0.05)  # cleans up; a second cancellation would cut this
            cleaned.append(batch[0].seed)
            raise

    async def flow() -> Any:
        async with Pool() as pool:
            await pool.add(sample(0))
            await pool.add(sample(1))
            return await pool.next()

    engine = Slow(act=stubborn)
    assert drive(flow(), engine).value == (0, 0)
    assert (cancelled, engine.running, cleaned) == (1, 0, [1])


def test_a_deadline_does_not_cut_the_cleanup_of_a_call_that_is_cancelled_already() -> None:
    cleaned: list[int] = []

    async def stubborn(batch: Sequence[Any]) -> None:
        if batch[0].seed == 1:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                await asyncio.sleep(0.1)
                cleaned.append(1)
                raise

    async def flow() -> str:
        async with Pool() as pool:
            await pool.add(sample(0))
            await pool.add(sample(1))
            await pool.next()
        try:
            await sample(2)
        except OutOfBudget as error:
            return error.unit
        return ""

    engine = Slow(lambda b: 30 * b[0].seed, act=stubborn)
    assert drive(flow(), engine, budget=Budget(seconds=0.04)).value == "seconds"
    assert cleaned == [1]


@pytest.mark.parametrize("why", ["deadline", "ended", "stopped"])
def test_an_engine_that_never_returns_is_let_go(why: str) -> None:
    release = threading.Event()

    async def deaf(batch: Sequence[Any]) -> Any:
        if batch[0].seed == 0:
            return None
        for _ in range(300):  # for ever, as far as the driver can tell
            if release.is_set():
                break
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                continue
        return [Reply(Completion("7"))]

    async def flow() -> Any:
        async with Pool() as pool:
            await pool.add(sample(1))
            await pool.add(sample(0))
            await pool.next()
            if why == "ended":
                return "left"
            try:
                await pool.next()
            except OutOfBudget as error:
                return error.unit

    async def whole() -> Run[Any]:
        stop = Stop()
        if why == "stopped":
            asyncio.get_running_loop().call_later(0.05, stop.request)
        seconds = 0.05 if why == "deadline" else None
        tape = Tape()
        before = time.process_time()
        done = await run_async(
            flow(),
            Slow(act=deaf),
            budget=Budget(seconds=seconds, tokens_out=4096),
            journal=tape,
            stop=stop,
            grace_s=0.15,
        )
        assert time.process_time() - before < 0.15, "waiting must not spin"
        release.set()
        await asyncio.sleep(0.05)
        return done

    start = time.monotonic()
    done = asyncio.run(whole())
    assert time.monotonic() - start < 2
    assert done.idle
    assert done.value == {"deadline": "seconds", "ended": "left", "stopped": "interrupted"}[why]
    assert done.usage.calls == 2, "what was let go is charged by estimate"


# ------------------------------------------------------------------------ deadlines and stops


async def best_so_far() -> tuple[list[int], str]:
    kept: list[int] = []
    stopped = ""
    try:
        for i in range(1000):
            kept.append(await sample(i))
    except OutOfBudget as error:
        stopped = error.unit
    await Grade(("4",), "number")
    return kept, stopped


def test_a_deadline_ends_the_run_and_free_work_is_still_served() -> None:
    tape = Tape()
    engine = Slow(lambda b: 0.002 if isinstance(b[0], Grade) or b[0].seed < 5 else 60)
    done = drive(best_so_far(), engine, budget=Budget(seconds=0.2), journal=tape)
    assert done.value == ([0, 1, 2, 3, 4], "seconds")
    assert done.stopped == "seconds"
    assert isinstance(engine.batches[-1][0], Grade)
    again = replay(best_so_far(), Tape(tape.records))
    assert (again.value, again.usage) == (done.value, done.usage)


def test_a_deadline_counts_what_earlier_runs_used() -> None:
    done = drive(best_so_far(), Slow(0.001), budget=Budget(seconds=10), elapsed_s=9.95)
    assert done.stopped == "seconds"
    assert 10 <= done.seconds < 12


def test_stopping_from_another_thread_returns_the_best_so_far() -> None:
    stop = Stop()
    timer = threading.Timer(0.05, stop.request)
    tape = Tape()
    timer.start()
    done = asyncio.run(
        run_async(
            best_so_far(),
            Slow(lambda b: 0.0 if isinstance(b[0], Grade) or b[0].seed < 3 else 60),
            stop=stop,
            journal=tape,
        )
    )
    timer.join()
    assert done.value == ([0, 1, 2], "interrupted")
    assert done.stopped == "interrupted"
    assert [r["kind"] for _, r in tape.records] == ["reply"] * 3 + ["late"]

    # an interruption is no decision of the world's: the run goes on from the journal
    engine = Slow(lambda b: 0.0 if isinstance(b[0], Grade) or b[0].seed < 9 else 60)
    more = drive(best_so_far(), engine, journal=Tape(tape.records), budget=Budget(seconds=0.2))
    assert more.value[0] == list(range(9))
    assert next(b[0].seed for b in engine.batches if not isinstance(b[0], Grade)) == 3


def test_a_run_that_is_stopped_before_it_begins_asks_nothing_that_costs() -> None:
    stop = Stop()
    stop.request()
    engine = Slow()
    assert drive(best_so_far(), engine, stop=stop).value == ([], "interrupted")
    assert all(isinstance(r, Grade) for b in engine.batches for r in b)


def test_what_waits_for_a_retry_does_not_outlive_the_deadline() -> None:
    engine = Slow(act=failing(99, retry_after_s=60))
    start = time.monotonic()
    with pytest.raises(OutOfBudget):
        drive(sample(0), engine, budget=Budget(seconds=0.05))
    assert time.monotonic() - start < 2


def test_a_full_disk_ends_the_run_with_the_best_so_far(tmp_path: Path) -> None:
    class Full:
        def __init__(self, file: Any) -> None:
            self.file, self.left = file, 5

        def write(self, data: Any) -> int:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.ENOSPC, "No space left on device")
            return self.file.write(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.file, name)

    with FileJournal.create(tmp_path / "j", {}) as journal:
        journal._file = Full(journal._file)  # type: ignore[assignment]
        done = drive(best_so_far(), Slow(), journal=journal)
    assert "disk is full" in done.problem
    assert done.stopped == "journal"
    kept = len(done.value[0])
    assert 5 <= kept < 1000
    with FileJournal.open(tmp_path / "j") as journal:
        assert journal.dropped_bytes == 0
        told = [r for r in journal.lines() if r["kind"] == "reply"]
        assert kept - 2 <= len(told) <= kept


def test_seconds_and_host_stay_out_of_the_journal(tmp_path: Path) -> None:
    files: list[bytes] = []
    for name, latency in (("a", 0.0), ("b", 0.01)):
        with FileJournal.create(tmp_path / name, {}) as journal:
            drive(tree(1), Slow(latency, concurrency=1), journal=journal)
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1]
    assert (tmp_path / "a.times").exists()
