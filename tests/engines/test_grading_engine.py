"""The grader as an engine: partitions, the worker pool, bounds, cancellation, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.requests import Embed, Grade, Grades
from cogitate.core.usage import ZERO
from cogitate.engines.grading import Grader, grades
from cogitate.engines.grading_pool import Ticket, WorkerLost, WorkerPool

FAKE_WORKER = """
import json, sys, time
sys.stdin.readline()
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    tex = json.loads(line)["tex"]
    if "hang" in tex: time.sleep(600)
    if "crash" in tex: sys.exit(3)
    if "noise" in tex: print("not json", flush=True); continue
    print(json.dumps({"form": tex.upper()}), flush=True)
"""
FAKE = (sys.executable, "-I", "-c", FAKE_WORKER)


def partition(answers: list[str | None], found: Grades) -> dict[str | None, str | None]:
    return {
        a: None if c is None else answers[c] for a, c in zip(answers, found.classes, strict=True)
    }


async def ask(grader: Grader, *requests: Grade) -> list[Grades]:
    replies = await grader.serve(requests)
    return [reply.value for reply in replies]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_one_request_partitions_a_vote_and_compares_it_with_the_reference() -> None:
    request = Grade(("1/2", "0.5", None, "0.333", "?", r"50\%"), "math", "0.50")
    found = grades(request, {})
    assert found.canonical == ("1/2", "1/2", None, "333/1000", None, "1/2")
    assert found.classes == (1, 1, None, 3, None, 1)
    assert found.correct == (True, True, None, False, None, True)
    assert grades(Grade(("1",), "number"), {}).correct == ()


def test_it_is_an_engine_that_serves_grades_alone() -> None:
    async def flow() -> None:
        grader = Grader(symbolic=False)
        assert grader.serves == {Grade}
        assert grader.limits.mixed
        assert grader.limits.max_batch > 1
        assert grader.ceiling(Grade(("1",), "math")) == ZERO
        good, bad = await grader.serve([Grade(("1",), "math"), Embed(("x",))])
        assert not isinstance(good, Failed)
        assert good.usage == ZERO
        assert good.usage.usd == 0.0
        assert isinstance(bad, Failed)
        assert bad.kind == "unsupported"
        await grader.close()
        await grader.close()
        (closed,) = await grader.serve([Grade(("1",), "math")])
        assert isinstance(closed, Failed)

    asyncio.run(flow())


def test_without_math_verify_open_expressions_equal_only_their_own_text() -> None:
    async def flow() -> Grades:
        grader = Grader(symbolic=False)
        assert "exact" in grader.fingerprint
        return (await ask(grader, Grade((r"\sqrt{4}", r"$\sqrt{4}$", "2"), "math")))[0]

    assert asyncio.run(flow()).classes == (1, 1, 2)


def test_numbers_start_no_process() -> None:
    async def flow() -> None:
        grader = Grader()
        await ask(
            grader, Grade(tuple(map(str, range(100))), "math"), Grade(("x", "(3,4)"), "number")
        )
        assert grader._pool is None

    asyncio.run(flow())


def test_bad_settings_are_refused() -> None:
    for bad in ({"timeout_s": 0}, {"workers": 0}):
        with pytest.raises(InvalidInput):
            Grader(**bad)


def test_a_replied_grade_survives_its_own_codec() -> None:
    request = Grade(("1/2", None, "x y"), "math", "0.5")
    value = grades(request, {})
    assert request.decode(request.encode(value)) == value
    assert Prompt is not None


# ------------------------------------------------------------------------------------ the pool


@pytest.fixture
def pool():
    pools: list[WorkerPool] = []

    def make(at_most: int = 1, timeout_s: float = 0.5) -> WorkerPool:
        pools.append(WorkerPool(at_most, timeout_s, FAKE))
        return pools[-1]

    yield make
    for one in pools:
        one.close()


def pids(pool: WorkerPool) -> set[int]:
    return {worker.process.pid for worker in pool._all}


def test_a_hung_worker_is_killed_replaced_and_not_asked_again(pool) -> None:
    one = pool()
    assert one.form("x", Ticket()) == "X"
    before = pids(one)
    began = time.monotonic()
    assert one.form("hang", Ticket()) is None
    assert time.monotonic() - began < 3
    assert not any(alive(pid) for pid in before)
    assert one.form("y", Ticket()) == "Y"
    assert pids(one) != before
    assert one.lost == 1
    began = time.monotonic()
    assert one.form("hang", Ticket()) is None
    assert time.monotonic() - began < 0.2
    assert one.lost == 1


def test_a_crash_and_noise_are_survived(pool) -> None:
    one = pool()
    assert one.form("crash", Ticket()) is None
    assert one.form("noise", Ticket()) is None
    assert one.form("x", Ticket()) == "X"


def test_a_worker_killed_from_outside_is_replaced_and_its_question_asked_again(pool) -> None:
    one = pool()
    assert one.form("x", Ticket()) == "X"
    for worker in one._all:
        worker.process.kill()
        worker.process.wait()
    assert one.form("y", Ticket()) == "Y"


def test_giving_up_kills_the_busy_worker_at_once(pool) -> None:
    one = pool(timeout_s=60)
    ticket = Ticket()
    threading.Timer(0.3, ticket.give_up).start()
    began = time.monotonic()
    assert one.form("hang", ticket) is None
    assert time.monotonic() - began < 5
    assert one.form("x", Ticket()) == "X"


def test_a_hung_answer_holds_up_the_others_no_longer_than_the_bound(pool) -> None:
    one = pool(at_most=2, timeout_s=1.0)
    found: dict[str, str | None] = {}
    threads = [
        threading.Thread(target=lambda t=t: found.update({t: one.form(t, Ticket())}))
        for t in ["hang1", *(f"t{i}" for i in range(64))]
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert time.monotonic() - began < 8
    assert found == {"hang1": None} | {f"t{i}": f"T{i}" for i in range(64)}


def test_closing_ends_every_process_even_while_one_hangs(pool) -> None:
    one = pool(at_most=2, timeout_s=60)
    one.form("x", Ticket())
    thread = threading.Thread(target=lambda: one.form("hang", Ticket()))
    thread.start()
    time.sleep(0.3)
    held = pids(one)
    assert held
    one.close()
    thread.join(timeout=5)
    assert not thread.is_alive()
    assert not any(alive(pid) for pid in held)


def test_a_worker_that_does_not_start_is_an_error_not_a_hang() -> None:
    bad = WorkerPool(1, 0.5, (sys.executable, "-I", "-c", "raise SystemExit(1)"))
    assert bad.form("x", Ticket()) is None
    bad.close()
    assert issubclass(WorkerLost, Exception)


# ---------------------------------------------------------------------------- with Math-Verify

SAME = [
    (r"\sqrt{4}", "2", r"\frac{4}{2}", r"\sqrt[3]{8}", r"\log_2 4"),
    (r"\sqrt{2}\sqrt{3}", r"\sqrt{6}", r"\sqrt 6", r"6^{1/2}", r"6^{0.5}"),
    (r"\frac{x+2}{7}", r"\frac{x}{7}+\frac{2}{7}", r"(x+2)/7"),
    (r"\tan^2(y)+1", r"\sec^2(y)"),
    (r"1 \pm \sqrt{19}", r"\{1-\sqrt{19}, 1+\sqrt{19}\}", r"1+\sqrt{19}, 1-\sqrt{19}"),
    ("2x+4y-3=0", r"y=-\frac{1}{2}x+\frac{3}{4}", "4x+8y=6"),
    (r"\left(3, \frac{\pi}{2}\right)", r"(3, 0.5\pi)", r"(\sqrt{9}, \pi/2)"),
    (r"\begin{pmatrix}1 & 2\\3 & 4\end{pmatrix}", r"\begin{bmatrix}1&2\\3&\sqrt{16}\end{bmatrix}"),
    ("x<1", "-x>-1", r"(-\infty,1)"),
]
DIFFERENT = [
    "n!", "n!!", "n", "x^T", r"\gcd(a,b)", r"f^{-1}(x)", r"\frac{1}{f(x)}", r"\frac{dy}{dx}", "0", "y'", "y''", "y",
    "x+1_2", "x+1", r"\frac{d}{b}", r"\ln x", r"\log x", r"\sin x^2", r"\sin^2 x", r"3 \mid x", "3x", "2+3i", "2-3i",
    r"\sqrt{2}+10^{-20}",
    r"x^2+10^{-20}",
    *(group[0] for group in SAME), r"\sqrt{2}", "1.4142135623730951", "1.41421356", r"\sqrt{3}", r"\sqrt{3}m",
    r"\pi", "3.14159265358979", r"\frac{22}{7}", "x", "x^2", r"\sqrt{x^2}", "X^2", "AB", "ab", "x^{-100}", "x^{-101}",
    r"e^{\pi\sqrt{163}}", "262537412640768744", "3x+4y=6", "2x+4y+3=0", r"x \leq 1", "x>1", r"2\pi", r"\frac{\pi}{3}",
    r"1+\frac{1}{e}", r"1-\frac{1}{e}", r"\sin x", r"\cos x", "2n+1", "2m+1", "f(x)", "f(y)",
]  # fmt: skip


@pytest.fixture(scope="module")
def grader():
    pytest.importorskip("math_verify")
    one = Grader(timeout_s=5.0)
    yield one
    asyncio.run(one.close())


@pytest.mark.parametrize("group", SAME, ids=lambda g: g[0])
def test_equal_expressions_are_one_class(grader: Grader, group: tuple[str, ...]) -> None:
    (found,) = asyncio.run(ask(grader, Grade(group, "math", group[-1])))
    assert len(set(found.classes)) == 1
    assert found.classes[0] is not None
    assert set(found.correct) == {True}


def test_no_two_different_expressions_are_merged(grader: Grader) -> None:
    (found,) = asyncio.run(ask(grader, Grade(tuple(DIFFERENT), "math")))
    assert None not in found.canonical
    by_form: dict[str | None, list[str]] = {}
    for answer, form in zip(DIFFERENT, found.canonical, strict=True):
        by_form.setdefault(form, []).append(answer)
    assert [group for group in by_form.values() if len(group) > 1] == []


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.sampled_from([*DIFFERENT, *(a for g in SAME for a in g), None, "?"]), max_size=10),
    st.randoms(),
)
def test_the_partition_does_not_depend_on_the_order(
    grader: Grader, answers: list[str | None], random: object
) -> None:
    mixed = list(answers)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    one, other = asyncio.run(
        ask(grader, Grade(tuple(answers), "math"), Grade(tuple(mixed), "math"))
    )
    assert partition(answers, one) == partition(mixed, other)


def test_huge_answers_neither_hang_nor_merge(grader: Grader) -> None:
    answers = (
        "10^{100000000}",
        r"10^{10^{10^{10}}}+\sqrt{2}",
        r"(10^{9999})!",
        r"9^{9^{9^{\pi}}}",
        r"\sqrt{5}",
    )
    hurried = Grader(timeout_s=1.0)

    async def flow() -> Grades:
        try:
            return (await ask(hurried, Grade(answers, "math")))[0]
        finally:
            await hurried.close()

    began = time.monotonic()
    found = asyncio.run(flow())
    assert time.monotonic() - began < 40
    assert len(set(found.classes)) == len(answers)
    assert found.canonical[-1] is not None
    assert found.canonical[-1].startswith("~2.236")


def test_sixty_four_threads_with_a_loop_each_share_one_grader(grader: Grader) -> None:
    results: dict[int, Grades] = {}

    def one(i: int) -> None:
        request = Grade((rf"\sqrt{{{i * i}}}", str(i), rf"\sqrt{{{i * i + 1}}}"), "math")
        results[i] = asyncio.run(ask(grader, request))[0]

    threads = [threading.Thread(target=one, args=(i,)) for i in range(2, 66)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(results) == 64
    for i, found in results.items():
        assert found.canonical[0] == found.canonical[1] == str(i)
        assert found.canonical[2] != str(i)


def test_cancelling_leaves_the_grader_usable_and_nothing_running() -> None:
    pytest.importorskip("math_verify")

    async def flow() -> set[int]:
        grader = Grader(timeout_s=60.0)
        task = asyncio.create_task(grader.serve([Grade((r"\sqrt{2}^{9^{9^{9}}}",), "math")]))
        async with asyncio.timeout(30):
            while grader._pool is None or not grader._pool._all:
                await asyncio.sleep(0.05)
        held = pids(grader._pool)
        await asyncio.sleep(0.3)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (found,) = await ask(grader, Grade((r"\sqrt{4}",), "math"))
        assert found.canonical == ("2",)
        held |= pids(grader._pool)
        await grader.close()
        return held

    assert not any(alive(pid) for pid in asyncio.run(flow()))


def test_a_parent_that_is_killed_leaves_no_worker() -> None:
    pytest.importorskip("math_verify")
    script = (
        "import asyncio, sys, time\n"
        "from cogitate.core.requests import Grade\n"
        "from cogitate.engines.grading import Grader\n"
        "grader = Grader()\n"
        "asyncio.run(grader.serve([Grade((r'\\sqrt{2}',), 'math')]))\n"
        "print(*(w.process.pid for w in grader._pool._all), flush=True)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert workers
    assert all(alive(pid) for pid in workers)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(alive(pid) for pid in workers)


def test_plain_numbers_are_graded_fast() -> None:
    request = [
        Grade(tuple(str((i * j) % 97) for j in range(16)), "number", "7") for i in range(500)
    ]

    async def flow() -> float:
        grader = Grader()
        began = time.perf_counter()
        await grader.serve(request)
        return 500 * 16 / (time.perf_counter() - began)

    assert asyncio.run(flow()) > 5_000
