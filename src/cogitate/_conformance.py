"""The conformance suite of strategies: what every search must keep on every process.

Each check takes a `Case` and raises `AssertionError` with the case's name. Plugin authors call them
from their own tests through `cogitate.testing`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cogitate.core.candidates import Artifact, Ranking
from cogitate.core.events import Event, Noted
from cogitate.core.flow import Flow, gather
from cogitate.core.journal import Record, Tape
from cogitate.core.protocols import Limits, Strategy
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.drive import Run, replay, run, run_async
from cogitate.engines.fake import FakeEngine

Answer = Ranking[Artifact]
TASK = Task.of("Ann has 3 apples and buys 4 more. How many apples has she?", kind="number")


@dataclass(frozen=True)
class Case:
    """One row of the table: a strategy and what it promises."""

    name: str
    strategy: Strategy
    task: Task = TASK
    ordered: bool = True
    """Whether the answer is the same whatever the order of arrival."""
    together: int = 1
    """How many `Generate` requests its parameters promise to have in flight at once."""
    engine: Callable[..., FakeEngine] = FakeEngine

    def flow(self, seed: int = 0) -> Flow[Answer]:
        """A fresh run of the strategy."""
        return self.strategy(self.task, Seed(seed))  # pyright: ignore[reportReturnType]


@dataclass(frozen=True)
class Recorded:
    """One run with its journal."""

    run: Run[Answer]
    records: Sequence[tuple[str, Record]]
    calls: int


def record(case: Case, records: Sequence[tuple[str, Record]] = ()) -> Recorded:
    """Drive a case in batches, after an earlier journal."""
    tape, engine = Tape(records), case.engine()
    done = run(case.flow(), engine, journal=tape)
    return Recorded(done, tape.records, engine.calls.total())


def sampled(length: int, most: int) -> list[int]:
    """At most `most` of the numbers from 0 to `length`, both ends included."""
    if length < most:
        return list(range(length + 1))
    return sorted({round(i * length / (most - 1)) for i in range(most)})


def same_answer_under_every_driver(case: Case, rounds: int = 3) -> None:
    """Batch and random latencies agree; an unordered search replays exactly."""
    want = record(case).run.value
    for number in range(rounds):
        tape, engine = Tape(), _slow(case, number)
        got = asyncio.run(run_async(case.flow(), engine, journal=tape))
        assert got.idle, f"{case.name}: something is still held"
        if case.ordered:
            assert got.value == want, f"{case.name}: the answer depends on arrival order"
        again = replay(case.flow(), Tape(tape.records))
        assert again.value == got.value, f"{case.name}: the journal does not replay"
        assert again.usage == got.usage, f"{case.name}: the ledger is not rebuilt on replay"


def _slow(case: Case, number: int) -> FakeEngine:
    # One request a call: a batch would arrive together, and arrival order would never be tried.
    limits = Limits(concurrency=16)
    return case.engine(latency_s=0.0005, latency_seed=number + 1, limits=limits)


def resumes_from_every_prefix(case: Case, most: int = 8) -> None:
    """From each prefix of the journal: the same result, paying only for what is missing."""
    full = record(case)
    assert full.calls, f"{case.name}: nothing was asked"
    for cut in sampled(len(full.records) - 1, most):
        again = record(case, full.records[:cut])
        paid = sum(_was_served(r) for _, r in full.records[:cut])
        assert again.run.value == full.run.value, f"{case.name}: another answer after {cut} records"
        assert again.calls == full.calls - paid, f"{case.name}: {cut} records, paid again"
        assert again.run.usage == full.run.usage, f"{case.name}: the ledger forgets, {cut} records"


def _was_served(found: Record) -> bool:
    return found["kind"] in ("reply", "failed", "late") and found["ask"] != "SetAside"


def keeps_every_budget(case: Case, unit: str = "tokens_out", most: int = 8) -> None:
    """Cut the budget anywhere: a ranking comes back, within the grant, and nothing stays held.

    Give the case small caps: where one ceiling is larger than all that is spent, every cut refuses everything.
    """
    spent = getattr(record(case).run.usage, unit)
    bought = 0
    for part in sampled(100, most):
        whole = unit in ("tokens_in", "tokens_out", "calls")
        amount = round(1.5 * spent * part / 100) if whole else 1.5 * spent * part / 100
        budget = Budget(**{unit: amount})  # pyright: ignore[reportArgumentType]
        for done in (
            run(case.flow(), case.engine(), budget=budget),
            asyncio.run(run_async(case.flow(), _slow(case, part), budget=budget)),
        ):
            used = getattr(done.usage, unit)
            bought += used > 0
            assert isinstance(done.value, Ranking), f"{case.name}: {amount} {unit} gave no ranking"
            assert used <= amount, f"{case.name}: {used} {unit} of {amount}"
            assert done.idle, f"{case.name}: something is still held at {amount} {unit}"
    assert bought, (
        f"{case.name}: no cut of {unit} bought anything; its caps are too large to try it"
    )


def batches_form(case: Case) -> None:
    """Concurrency of expansion reaches what the parameters promise."""
    engine = case.engine()
    run(case.flow(), engine)
    peak = engine.peak["Generate"]
    assert peak >= case.together, f"{case.name}: {peak} at once, {case.together} promised"


def parents_exist(case: Case) -> None:
    """Every candidate and its parent were expanded, and ids are unique.

    A composition of strategies puts the run before an id, as in `2/0.1`.
    """
    noted: set[str] = set()

    def hear(event: Event) -> None:
        if isinstance(event, Noted) and event.kind == "expanded":
            noted.add(str(event.data["id"]))

    found = run(case.flow(), case.engine(), listen=hear).value
    ids = [c.id for c in found.items]
    assert len(ids) == len(set(ids)), f"{case.name}: an id occurs twice"
    for candidate in found.items:
        assert candidate.id.rpartition("/")[2] in noted, (
            f"{case.name}: {candidate.id!r} was never expanded"
        )
        if candidate.parent is not None:
            assert candidate.parent in noted, f"{case.name}: parent {candidate.parent!r} is unknown"


def shares_no_state(case: Case) -> None:
    """Two runs of one object at once give what each gives alone."""
    before = repr(case.strategy)
    alone = [run(case.flow(seed), case.engine()).value for seed in (0, 1)]

    async def both() -> list[Answer]:
        return await gather(case.flow(0), case.flow(1))

    together = run(both(), case.engine()).value
    if case.ordered:
        assert together == alone, f"{case.name}: runs of one object disturb each other"
    assert repr(case.strategy) == before, f"{case.name}: its configuration changed"


def survives_failures(case: Case, most: int = 12) -> None:
    """One `Failed` at every request: a ranking comes back and nothing is raised."""
    calls = record(case).calls
    for at in sampled(calls - 1, most):
        done = run(case.flow(), case.engine(fail_at=at))
        assert isinstance(done.value, Ranking), f"{case.name}: request {at} failed, no ranking"
        assert done.idle, f"{case.name}: request {at} failed, something is still held"


def survives_bad_text(case: Case) -> None:
    """Text that is malformed, empty, cut or mixed: a ranking, and no answer from cut text."""
    for texts in ("malformed", "empty", "truncated", "mixed"):
        found = run(case.flow(), case.engine(texts=texts)).value
        assert isinstance(found, Ranking), f"{case.name}: {texts} text gave no ranking"
        for candidate in found.items:
            if not candidate.state.complete:
                assert candidate.state.answer is None, f"{case.name}: a cut text votes"


CHECKS: Iterable[Callable[[Case], None]] = (
    same_answer_under_every_driver,
    resumes_from_every_prefix,
    keeps_every_budget,
    batches_form,
    parents_exist,
    shares_no_state,
    survives_failures,
    survives_bad_text,
)
"""Every check, with its sampled defaults."""


def check_strategy(case: Case) -> None:
    """Run every check on one case.

    Raises:
        AssertionError: naming the case and what it broke.
    """
    for check in CHECKS:
        check(case)
