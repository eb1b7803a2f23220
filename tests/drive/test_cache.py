"""The reply cache: what is kept, what a hit costs, several processes, and a file that breaks."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from cogitate.core.errors import Failed, OutOfBudget, ReplayMismatch
from cogitate.core.events import Chunk
from cogitate.core.flow import Flow, Pool, gather
from cogitate.core.journal import Tape, outcome_of, sealed_in, tell_record
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Limits
from cogitate.core.requests import (
    Call,
    Completion,
    Embed,
    Generate,
    Loglikelihood,
    Reply,
    Request,
    Sampling,
    TokenInfo,
)
from cogitate.core.usage import ZERO, Budget, Usage
from cogitate.drive import ReplyCache, Retry, Router, Run, replay, run, run_async
from cogitate.drive.cache import CacheError

PROMPT = Prompt.raw("question")
COST = Usage(tokens_in=7, tokens_out=20, calls=1, flops=None, usd=0.5)


class Paid:
    """Answers with a number that no two calls share, so that a repeated answer is a kept one."""

    serves = frozenset({Generate, Embed})

    def __init__(self, fingerprint: str = "paid", act: Any = None, **limits: Any) -> None:
        self.fingerprint, self.act = fingerprint, act
        self.limits = Limits(**({"concurrency": 64} | limits))
        self.calls: list[Any] = []

    def ceiling(self, request: Request[Any]) -> Usage:
        tokens = getattr(request, "max_tokens", 10)
        return Usage(tokens_in=100, tokens_out=tokens, calls=1, flops=None, usd=0.001 * tokens)

    async def serve(self, batch: Sequence[Any], emit: Any = None) -> Sequence[Any]:
        if self.act is not None:
            acted = self.act(batch)
            acted = await acted if asyncio.iscoroutine(acted) else acted
            if acted is not None:
                return acted
        return [self.reply(request) for request in batch]

    def reply(self, request: Any) -> Reply[Any]:
        self.calls.append(request)
        if isinstance(request, Embed):
            return Reply(((1.0, float(len(self.calls))),), COST)
        return Reply(Completion(f"{request.seed}:{len(self.calls)}", tokens=20), COST)

    async def close(self) -> None: ...


@pytest.fixture
def cache(tmp_path: Path) -> Any:
    with ReplyCache(tmp_path / "replies") as made:
        yield made


async def one(seed: int, **options: Any) -> str:
    return (await Generate(PROMPT, seed=seed, **options)).text


async def samples(count: int) -> list[str]:
    return await gather(*(one(seed) for seed in range(count)), drop=(OutOfBudget, Failed))


def drive(flow: Flow[Any], engine: Any, how: str = "async", **options: Any) -> Run[Any]:
    if how == "batch":
        return run(flow, engine, **options)
    return asyncio.run(run_async(flow, engine, **options))


BOTH = pytest.mark.parametrize("how", ["batch", "async"])

# ------------------------------------------------------------------------------ what a hit costs


@BOTH
def test_the_same_question_is_paid_once(cache: ReplyCache, how: str) -> None:
    engine = Paid()
    first = drive(samples(4), engine, how, cache=cache)
    again = drive(samples(4), engine, how, cache=cache)
    assert again.value == first.value
    assert len(engine.calls) == 4
    assert (first.usage.usd, first.spent.usd, first.cached) == (2.0, 2.0, ZERO)
    assert (again.usage, again.cached) == (first.usage, first.usage), "charged at recorded usage"
    assert again.spent == ZERO, "and not paid"
    assert again.idle


def test_a_kept_answer_is_streamed_in_one_piece(cache: ReplyCache) -> None:
    heard: list[Any] = []
    for final in (True, False):
        drive(one(1, final=final), Paid(), cache=cache)
        drive(one(1, final=final), Paid(), cache=cache, listen=heard.append)
    chunks = [event for event in heard if isinstance(event, Chunk)]
    assert [(c.text, c.final) for c in chunks] == [("1:1", True)]


@BOTH
def test_more_samples_re_use_the_fewer(cache: ReplyCache, how: str) -> None:
    engine = Paid()
    few = drive(samples(3), engine, how, cache=cache)
    many = drive(samples(8), engine, how, cache=cache)
    assert many.value[:3] == few.value
    assert [r.seed for r in engine.calls] == list(range(8))
    assert (many.usage.calls, many.spent.calls, many.spent.usd) == (8, 5, 2.5)


def test_it_outlives_the_process_that_wrote_it(tmp_path: Path) -> None:
    engine = Paid()
    with ReplyCache(tmp_path) as cache:
        first = drive(samples(3), engine, cache=cache)
    with ReplyCache(tmp_path) as cache:
        assert drive(samples(3), engine, cache=cache).value == first.value
    assert len(engine.calls) == 3


def test_every_part_of_the_question_counts(cache: ReplyCache) -> None:
    engine = Paid()
    asked: list[dict[str, Any]] = [
        {},
        {"max_tokens": 9},
        {"role": "judge"},
        {"logprobs": 0},
        {"sampling": Sampling(temperature=0.0)},
        {"stop": ("x",)},
    ]
    router = Router({"policy": (engine,), "judge": (engine,)})
    for options in asked * 2:
        drive(one(1, **options), router, cache=cache)
    drive(one(2), router, cache=cache)
    assert len(engine.calls) == len(asked) + 1
    other = Paid("another model")
    drive(one(1), other, cache=cache)
    assert len(other.calls) == 1


def test_the_grant_bears_a_hit_or_refuses_it(cache: ReplyCache) -> None:
    engine = Paid()
    drive(samples(6), engine, cache=cache)
    bound = drive(samples(6), engine, cache=cache, budget=Budget(tokens_out=90))
    assert len(engine.calls) == 6
    assert len(bound.value) == 4, "20 tokens each are charged"
    assert bound.usage.tokens_out == 80
    assert bound.spent == ZERO
    assert bound.idle
    assert not bound.overdrawn


def test_the_cost_of_failed_attempts_is_not_charged_again(cache: ReplyCache) -> None:
    engine = Paid()
    waste = Usage(tokens_out=7, calls=1)
    engine.act = lambda batch: (
        [Failed("cut", "cut", transient=True, usage=waste)] if not tried.append(1) and len(tried) < 2 else None
    )  # fmt: skip
    tried: list[int] = []
    first = drive(one(1), engine, cache=cache, retry=Retry(first_s=0.001))
    again = drive(one(1), engine, cache=cache)
    assert first.usage.tokens_out == 27
    assert again.usage.tokens_out == 20


# ------------------------------------------------------------------------------ what is kept


@BOTH
def test_failures_and_refusals_are_asked_again(cache: ReplyCache, how: str) -> None:
    engine = Paid(act=lambda batch: [Failed("no", "refused")] * len(batch))
    assert drive(samples(2), engine, how, cache=cache).value == []
    engine.act = None
    assert drive(samples(2), engine, how, cache=cache, budget=Budget(calls=1)).value == ["0:1"]
    assert len(drive(samples(2), engine, how, cache=cache).value) == 2
    assert cache.stats().entries == 2


def test_what_nobody_waited_for_is_not_kept(cache: ReplyCache) -> None:
    async def serve(batch: Sequence[Any]) -> None:
        # A call that ignores its cancellation and answers all the same.
        for _ in range(20):
            try:
                await asyncio.sleep(0.001 if batch[0].seed else 0)
            except asyncio.CancelledError:
                continue

    async def first() -> str:
        async with Pool[str]() as pool:
            for seed in range(2):
                await pool.add(one(seed))
            return (await pool.next())[1]

    engine = Paid(act=serve)
    done = drive(first(), engine, cache=cache)
    assert len(engine.calls) == 2
    assert done.usage.calls == 2, "it was late, and paid"
    assert cache.stats().entries == 1


def test_free_and_changing_engines_are_not_kept(cache: ReplyCache) -> None:
    policy, judge = Paid("policy"), Paid("judge")
    router = Router({"policy": (policy,), "judge": (judge,)}, unkept=(judge,))
    for _ in range(2):
        drive(one(1), router, cache=cache)
        drive(one(1, role="judge"), router, cache=cache)
    assert (len(policy.calls), len(judge.calls)) == (1, 2)


def test_functions_and_grades_are_not_kept(cache: ReplyCache) -> None:
    class Service(Paid):
        serves = frozenset({Call})

        def reply(self, request: Any) -> Reply[Any]:
            self.calls.append(request)
            return Reply(len(self.calls))

    async def call() -> Any:
        return await Call("f")

    service = Service()
    router = Router({"policy": (Paid(),)}, (service,))
    assert [drive(call(), router, cache=cache).value for _ in range(2)] == [1, 2]


def test_a_trimmed_request_is_kept_under_what_was_really_asked(cache: ReplyCache) -> None:
    engine = Paid()

    async def trimmed() -> str:
        return await one(1, max_tokens=80, least_tokens=5)

    small = drive(trimmed(), engine, cache=cache, budget=Budget(tokens_out=50))
    assert engine.calls[0].max_tokens == 50
    again = drive(trimmed(), engine, cache=cache, budget=Budget(tokens_out=50))
    assert (again.value, len(engine.calls)) == (small.value, 1)
    whole = drive(trimmed(), engine, cache=cache)
    assert engine.calls[1].max_tokens == 80, "with a larger grant the larger request is another one"
    assert whole.value != small.value


def test_coalesced_siblings_are_found_alone(cache: ReplyCache) -> None:
    def together(batch: Sequence[Any]) -> list[Reply[Any]]:
        engine.calls.append(batch)
        return [
            Reply(Completion(f"{r.seed} of {len(batch)}"), COST, seed=9, index=i, engine="paid")
            for i, r in enumerate(batch)
        ]

    engine = Paid(act=together, max_batch=4)
    drive(samples(4), engine, cache=cache)
    assert [len(batch) for batch in engine.calls] == [4]
    tape = Tape()
    assert drive(one(2), engine, cache=cache, journal=tape).value == "2 of 4"
    (record,) = [r for _, r in tape.records if r["kind"] == "reply"]
    assert (record["seed"], record["index"], record["cached"]) == (9, 2, True)
    assert len(engine.calls) == 1


ROUND_TRIPS: list[tuple[Request[Any], Any]] = [
    (
        Generate(PROMPT, seed=1),
        Completion(
            "naïve \ud800 \x00",
            "stop",
            "\x00",
            3,
            (1, 2, 3),
            (-0.5, -1e-300, -3.25),
            ((TokenInfo("a", -0.1),), ()),
            "hm",
        ),
    ),
    (Generate(PROMPT, seed=2, sampling=Sampling(temperature=0.0)), Completion("")),
    (Embed(("a", "b")), ((0.1, 1e-17), (2.0, -0.0))),
    (Loglikelihood(PROMPT, ("a",)), None),
]


@pytest.mark.parametrize(("request_", "value"), ROUND_TRIPS[:3])
def test_a_reply_round_trips_by_the_requests_own_codec(
    tmp_path: Path, request_: Request[Any], value: Any
) -> None:
    said = Reply(value, COST, engine="e", seed=4, index=0)
    with ReplyCache(tmp_path) as cache:
        cache.put(request_, "e", said)
    with ReplyCache(tmp_path) as cache:
        found = cache.get(request_, ["other", "e"])
    assert found is not None
    assert (found.value, found.usage, found.engine, found.seed, found.index) == (
        value, COST, "e", 4, 0,
    )  # fmt: skip
    assert found.cached
    assert repr(found.value) == repr(value)


# -------------------------------------------------------------------------------- single flight


@BOTH
def test_equal_requests_in_flight_are_served_once(cache: ReplyCache, how: str) -> None:
    async def flow() -> list[str]:
        return await gather(*(one(seed) for seed in (1, 1, 2, 1)))

    engine = Paid(act=None if how == "batch" else lambda batch: asyncio.sleep(0.002))
    done = drive(flow(), engine, how, cache=cache)
    assert len({done.value[i] for i in (0, 1, 3)}) == 1
    assert sorted(r.seed for r in engine.calls) == [1, 2]
    assert (done.usage.calls, done.spent.calls) == (4, 2)
    assert done.idle


def test_without_a_cache_equal_requests_are_each_served() -> None:
    async def flow() -> list[str]:
        return await gather(one(1), one(1))

    engine = Paid()
    drive(flow(), engine)
    assert len(engine.calls) == 2


def test_who_waited_asks_itself_when_the_first_fails(cache: ReplyCache) -> None:
    async def flow() -> list[str]:
        return await gather(one(1), one(1), one(1), drop=(Failed,))

    tried: list[int] = []

    async def fails_once(batch: Sequence[Any]) -> Any:
        await asyncio.sleep(0.001)
        tried.append(1)
        return [Failed("no", "refused")] if len(tried) == 1 else None

    engine = Paid(act=fails_once)
    done = drive(flow(), engine, cache=cache)
    assert len(done.value) == 2
    assert (len(tried), len(engine.calls)) == (2, 1)


def test_who_waited_asks_itself_when_the_first_is_cancelled(cache: ReplyCache) -> None:
    async def follower() -> str:
        return await one(1)

    async def loser() -> str:
        async with Pool[str]() as pool:
            await pool.add(one(1))
            await pool.add(one(2))
            return (await pool.next())[1]

    async def flow() -> list[str]:
        return await gather(loser(), follower())

    async def serve(batch: Sequence[Any]) -> None:
        await asyncio.sleep(0.03 if batch[0].seed == 1 else 0.001)

    engine = Paid(act=serve)
    done = drive(flow(), engine, cache=cache)
    assert done.value[1].startswith("1:")
    assert done.idle


def test_a_deadline_ends_who_waits_too(cache: ReplyCache) -> None:
    async def flow() -> list[str]:
        return await gather(one(1), one(1), one(1), drop=(OutOfBudget,))

    engine = Paid(act=lambda batch: asyncio.sleep(30))
    done = drive(flow(), engine, cache=cache, budget=Budget(seconds=0.05))
    assert (done.value, done.stopped, done.idle) == ([], "seconds", True)
    assert cache.stats().entries == 0


# ------------------------------------------------------------------------------------ journals


def test_a_hit_is_journaled_as_a_reply_and_replays_without_the_cache(cache: ReplyCache) -> None:
    drive(samples(2), Paid(), cache=cache)
    tape = Tape()
    done = drive(samples(4), Paid(), cache=cache, journal=tape)
    told = [r for _, r in tape.records if r["kind"] == "reply"]
    assert [r.get("cached", False) for r in told] == [True, True, False, False]
    assert all(r["usage"]["usd"] == 0.5 for r in told)
    again = replay(samples(4), Tape(tape.records))
    assert (again.value, again.usage, again.spent) == (done.value, done.usage, done.spent)
    assert again.spent.usd == 1.0


@pytest.mark.parametrize("cut", range(5))
def test_resuming_from_every_prefix_keeps_both_sums(cache: ReplyCache, cut: int) -> None:
    drive(samples(2), Paid(), cache=cache)
    tape = Tape()
    done = drive(samples(4), Paid(), cache=cache, journal=tape)
    engine = Paid()
    again = drive(samples(4), engine, cache=cache, journal=Tape(tape.records[:cut]))
    assert again.value == done.value
    assert again.usage == done.usage
    assert engine.calls == []


def test_a_seal_says_what_was_paid() -> None:
    tape = Tape()
    paid = {"kind": "reply", "at": "#1", "ask": "Generate", "usage": {"calls": 1}, "role": "p"}
    tape.append("s", paid)
    tape.append("s", {**paid, "cached": True})
    tape.seal("s", 1)
    late = {"kind": "late", "at": "#3", "ask": "Generate", "usage": {"calls": 1}, "role": "p"}
    seal = sealed_in([r for _, r in tape.records] + [late])
    assert seal is not None
    assert (seal["roles"], seal["spent"]) == ({"p": {"calls": 3}}, {"calls": 2})


def test_after_a_mismatch_the_rest_comes_from_the_cache(cache: ReplyCache) -> None:
    async def chain(question: str) -> str:
        said = await one(1)
        said += (await Generate(Prompt.raw(question), seed=2)).text
        return said + await one(3)

    engine = Paid()
    tape = Tape()
    drive(chain("new"), engine, cache=cache)
    drive(chain("old"), engine, cache=cache, journal=tape)
    assert len(engine.calls) == 4
    with pytest.raises(ReplayMismatch):
        drive(chain("new"), engine, cache=cache, journal=Tape(tape.records))
    again = Tape(tape.records)
    done = drive(chain("new"), engine, cache=cache, journal=again, from_mismatch=True)
    assert len(engine.calls) == 4, (
        "the changed step was kept by an earlier run, the last by this one"
    )
    assert done.value == drive(chain("new"), engine, cache=cache).value
    assert replay(chain("new"), Tape(again.records)).value == done.value


# ---------------------------------------------------------------------------------- the file


def fill(cache: ReplyCache, count: int, size: int = 1000, start: int = 0) -> None:
    for seed in range(start, start + count):
        cache.put(Generate(PROMPT, seed=seed), "e", Reply(Completion("x" * size)))
    cache.flush(now=True)


def holds(cache: ReplyCache, seed: int) -> bool:
    return cache.get(Generate(PROMPT, seed=seed), ["e"]) is not None


def test_it_stays_within_its_bound_and_drops_what_was_used_least_recently(tmp_path: Path) -> None:
    now = [0.0]
    with ReplyCache(tmp_path, max_bytes=40_000, clock=lambda: now[0]) as cache:
        for seed in range(100):
            now[0] += 1
            fill(cache, 1, start=seed)
            assert holds(cache, 0), "it is used all the time"
            assert cache.stats().bytes <= 40_000
        assert not holds(cache, 1)
        assert holds(cache, 99)
        found = cache.stats()
        assert 20 < found.entries < 40
        assert found.engines == (("e", found.entries, found.bytes),)
    assert cache.path.stat().st_size < 120_000


def test_a_huge_reply_does_not_push_out_the_others(tmp_path: Path) -> None:
    with ReplyCache(tmp_path, max_bytes=100_000) as cache:
        fill(cache, 20)
        fill(cache, 1, size=50_000, start=50)
        assert not holds(cache, 50)
        assert all(holds(cache, seed) for seed in range(20))


def test_pruning_by_size_and_by_age_gives_room_back(tmp_path: Path) -> None:
    now = [1000.0]
    with ReplyCache(tmp_path, clock=lambda: now[0]) as cache:
        fill(cache, 300)
        now[0] = 5000.0
        fill(cache, 100, start=300)
        before = cache.stats()
        old = cache.prune(older_than_s=3600)
        assert old.entries == 300
        kept = cache.stats()
        assert (kept.entries, kept.oldest) == (100, 5000.0)
        assert kept.file_bytes < before.file_bytes / 2
        cache.prune(max_bytes=20_000)
        assert 0 < cache.stats().entries < 20
        assert cache.prune(max_bytes=0).entries > 0
        assert cache.stats().entries == 0
    assert ReplyCache(tmp_path / "none").prune(max_bytes=0).entries == 0
    assert not (tmp_path / "none").exists(), "looking makes nothing"


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "replies") as cache:
        fill(cache, 1)
        assert stat.S_IMODE(cache.path.stat().st_mode) == 0o600
        assert stat.S_IMODE(cache.path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "change",
    [
        "update entries set body = x'7b7d'",
        "update entries set body = 'text', sum = 1",
        "update entries set sum = sum + 1",
    ],
)
def test_a_damaged_entry_is_dropped_and_said(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Paid()
    with ReplyCache(tmp_path) as cache:
        drive(samples(2), engine, cache=cache)
    with sqlite3.connect(cache.path) as held:
        held.execute(change)
    held.close()
    with caplog.at_level(logging.WARNING, "cogitate"), ReplyCache(tmp_path) as cache:
        assert len(drive(samples(2), engine, cache=cache).value) == 2
        assert cache.damaged == 2
        assert "2 damaged entries" in cache.notes[0]
    assert len(engine.calls) == 4
    assert "is damaged" in caplog.text
    with ReplyCache(tmp_path) as cache:
        drive(samples(2), engine, cache=cache)
    assert len(engine.calls) == 4, "the new reply took its place"


def test_a_reply_of_another_version_is_asked_again(tmp_path: Path) -> None:
    import zlib

    engine = Paid()
    with ReplyCache(tmp_path) as cache:
        drive(one(1), engine, cache=cache)
    with sqlite3.connect(cache.path) as held:
        (body,) = held.execute("select body from entries").fetchone()
        record = json.loads(body)
        record["value"]["gone"] = 1
        made = json.dumps(record).encode()
        held.execute("update entries set body = ?, sum = ?", (made, zlib.crc32(made)))
    held.close()
    with ReplyCache(tmp_path) as cache:
        drive(one(1), engine, cache=cache)
    assert len(engine.calls) == 2


@pytest.mark.parametrize("garbage", [b"", b"not a database" * 400, None])
def test_a_damaged_file_is_set_aside(
    tmp_path: Path, garbage: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Paid()
    with ReplyCache(tmp_path) as cache:
        fill(cache, 200)
        drive(one(1), engine, cache=cache)
    raw = bytearray(cache.path.read_bytes())
    if garbage is None:  # a torn page in the middle
        raw[4096:12288] = b"\xff" * 8192
        garbage = bytes(raw)
    cache.path.write_bytes(garbage)
    with caplog.at_level(logging.WARNING, "cogitate"), ReplyCache(tmp_path) as cache:
        for seed in range(300, 330):
            assert drive(one(seed), engine, cache=cache).idle
        cache.flush(now=True)
        if garbage:
            assert "begun anew" in " ".join(cache.notes)
            assert "begun anew" in caplog.text
    with ReplyCache(tmp_path) as cache:
        calls = len(engine.calls)
        drive(one(329), engine, cache=cache)
        assert len(engine.calls) == calls


def test_what_a_killed_writer_left_is_not_read_into_a_new_file(tmp_path: Path) -> None:
    with ReplyCache(tmp_path / "one") as cache:
        fill(cache, 20)
        shutil.copytree(tmp_path / "one", tmp_path / "two")  # as it lies while it is written
    assert (tmp_path / "two" / "replies.sqlite-wal").stat().st_size
    with ReplyCache(tmp_path / "two") as cache:
        assert holds(cache, 19), "a kill loses nothing that was written"
    shutil.rmtree(tmp_path / "two")
    with ReplyCache(tmp_path / "one") as cache:
        fill(cache, 20, start=20)
        shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two" / "replies.sqlite").write_bytes(b"no database" * 1000)
    with ReplyCache(tmp_path / "two") as cache:
        holds(cache, 0)
        fill(cache, 3, start=100)
        assert "begun anew" in cache.notes[0]
    with ReplyCache(tmp_path / "two") as cache:
        assert cache.stats().entries == 3
        assert holds(cache, 102)


def test_a_record_says_that_it_came_from_a_cache() -> None:
    asked = Generate(PROMPT, seed=1)
    for cached in (False, True):
        reply = Reply(Completion("yes"), COST, cached=cached)
        assert outcome_of(tell_record(asked, "#1", reply), asked) == reply


@pytest.mark.parametrize("where", ["file", "format"])
def test_a_cache_that_cannot_be_used_is_left_alone(tmp_path: Path, where: str) -> None:
    engine = Paid()
    if where == "file":
        (tmp_path / "replies").write_text("in the way")
    else:
        with ReplyCache(tmp_path / "replies") as cache:
            fill(cache, 1)
        with sqlite3.connect(cache.path) as held:
            held.execute("pragma user_version = 99")
        held.close()
    with ReplyCache(tmp_path / "replies") as cache:
        for _ in range(2):
            assert drive(one(1), engine, cache=cache).value
            cache.flush(now=True)
        assert len(engine.calls) == 2
        (note,) = cache.notes
        assert "is left alone" in note
        assert note.count("\n") == 0
    if where == "format":
        with pytest.raises(CacheError, match="format is 99"):
            ReplyCache(tmp_path / "replies").stats()


def test_another_process_that_writes_is_waited_for_not_feared(tmp_path: Path) -> None:
    engine = Paid()
    with ReplyCache(tmp_path) as cache:
        fill(cache, 1)
        other = sqlite3.connect(cache.path, isolation_level=None)
        other.execute("begin immediate")
        done = drive(samples(3), engine, cache=cache)
        cache.flush(now=True)
        assert len(done.value) == 3
        assert not cache.notes
        other.execute("rollback")
        other.close()
        cache.flush(now=True)
        assert cache.stats().entries == 4


WRITER = """
import sys
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Completion, Generate, Reply
from cogitate.drive import ReplyCache
with ReplyCache(sys.argv[1], max_bytes=300_000) as cache:
    for seed in range(400):
        asked = Generate(Prompt.raw("question"), seed=seed)
        held = cache.get(asked, ["e"])
        assert held is None or held.value.text == "x" * 500 + str(seed)
        cache.put(asked, "e", Reply(Completion("x" * 500 + str(seed))))
        cache.flush(now=seed % 7 == 0)
    assert not cache.notes, cache.notes
"""


def test_several_processes_share_it(tmp_path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stderr=subprocess.PIPE)
        for _ in range(3)
    ]
    for process in running:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said.decode()
    with ReplyCache(tmp_path, max_bytes=300_000) as cache:
        found = cache.stats()
        assert 100 < found.entries <= 400
        assert found.bytes <= 300_000
        assert holds(cache, 399)
    held = sqlite3.connect(cache.path)
    assert held.execute("pragma integrity_check").fetchone() == ("ok",)
    real = held.execute("select count(*), sum(size) from entries").fetchone()
    assert real == held.execute("select entries, bytes from totals").fetchone()
    held.close()


def test_threads_share_one(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def work(cache: ReplyCache, engine: Paid) -> None:
        try:
            for _ in range(5):
                assert len(asyncio.run(run_async(samples(20), engine, cache=cache)).value) == 20
        except BaseException as error:
            failures.append(error)

    with ReplyCache(tmp_path) as cache:
        threads = [threading.Thread(target=work, args=(cache, Paid())) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert cache.stats().entries == 20
