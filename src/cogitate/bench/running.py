"""Runs a grid: questions in turn, all cells of a question side by side, everything journaled in the run folder."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from cogitate.assembly import opened
from cogitate.core.codec import encode
from cogitate.core.errors import CogitateError, Failed, OutOfBudget
from cogitate.core.events import Answered as Told
from cogitate.core.events import Event
from cogitate.core.flow import Flow, each
from cogitate.core.usage import ZERO, Budget, Usage
from cogitate.drive import Stop, run, run_async

from .asking import Plain, Purse, RunSpent
from .folder import HOST, REPLIES, Folder, replace_file, timing
from .laying import Job, Laid
from .remembering import Interrupted, Memory, RunCache
from .serving import Ready, serving
from .shelf import SEPARATOR, Shelf
from .tasks import Item
from .working import asking_of

SIDE_BY_SIDE: Final = 64
"""Cells whose journals are open at once."""
MOST_FAILED: Final = 20
"""Questions that fail one after another before a run is given up: the model is gone."""

_PLAIN: Final = Plain()


@dataclass
class Progress:
    """How far a run is. Mutable: it counts."""

    total: int = 0
    """Questions of all cells together."""
    done: int = 0
    earlier: int = 0
    """Of these, what an earlier sitting had finished."""
    failed: int = 0
    """Questions that failures left open in this sitting; the next one asks them again."""
    calls: int = 0
    """Replies in this sitting, remembered ones included."""
    paid: Usage = ZERO
    """What this sitting paid for."""
    what: str = ""
    """What is being worked on."""
    problem: str = ""
    """The first failure."""


Tell = Callable[[Progress], None]


@dataclass(frozen=True)
class Summary:
    """How a sitting ended."""

    progress: Progress
    seconds: float
    stopped: str = ""
    """`interrupted` or `budget`, where something is left to be done."""
    notes: tuple[str, ...] = ()
    """What a person may want to know, such as that replies could not be kept."""

    @property
    def complete(self) -> bool:
        """Whether every question of every cell is finished."""
        return self.progress.done == self.progress.total


@dataclass
class Sitting:
    """One go at a run folder. Mutable: it counts."""

    laid: Laid
    folder: Folder
    stop: Stop
    tell: Tell
    progress: Progress = field(default_factory=Progress)
    purse: Purse = field(default_factory=Purse)
    charged: Usage = ZERO
    """By all sittings and cells, for the budget of the whole run."""
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    """By file, of all sittings."""
    failing: int = 0
    """Questions that failed one after another."""


async def carry_out(
    laid: Laid, folder: Folder, *, stop: Stop | None = None, tell: Tell | None = None
) -> Summary:
    """Do what of a grid is not done yet.

    Raises:
        CogitateError: where a model cannot be opened, a journal cannot be written, or the model is gone.
    """
    began = time.monotonic()
    sitting = Sitting(laid, folder, stop or Stop(), tell or (lambda _: None))
    known = timing(folder.path)
    sitting.seconds.update(known.seconds if known is not None else {})
    open_jobs = _left(sitting)
    stopped = ""
    with RunCache(folder.path / REPLIES, max_bytes=1 << 50) as replies:
        memory = Memory(replies)
        try:
            for label, jobs in _by_model(open_jobs):
                await _model(sitting, label, jobs, memory)
        except Interrupted:
            stopped = sitting.stop.reason or "interrupted"
        except RunSpent:
            stopped = "budget"
        finally:
            _write_host(sitting)
    if stopped:
        _recount(sitting, open_jobs)
    return Summary(sitting.progress, time.monotonic() - began, stopped, replies.notes)


def _left(sitting: Sitting) -> list[Job]:
    """The jobs that are not finished; counts what is."""
    progress, open_jobs = sitting.progress, list[Job]()
    budgeted = bool(sitting.laid.grid.budget.bounds())
    for job in sitting.laid.jobs:
        rows = list(sitting.folder.rows(job.entry)) if budgeted else None
        done = sitting.folder.done(job.entry) if rows is None else len(rows)
        for row in rows or ():
            for used in row["usage"].values():
                sitting.charged = sitting.charged + Usage(**used)
        progress.total += job.entry.rows
        progress.done += min(done, job.entry.rows)
        if done < job.entry.rows:
            open_jobs.append(job)
    progress.earlier = progress.done
    return open_jobs


def _recount(sitting: Sitting, open_jobs: Sequence[Job]) -> None:
    """Questions are counted in their order; where a run is broken off, later ones may be finished, too."""
    files = {job.entry.file for job in open_jobs}
    finished = sum(job.entry.rows for job in sitting.laid.jobs if job.entry.file not in files)
    sitting.progress.done = finished + sum(sitting.folder.done(job.entry) for job in open_jobs)


def _by_model(jobs: Sequence[Job]) -> Iterator[tuple[str, list[Job]]]:
    labels = dict.fromkeys(job.entry.model for job in jobs)
    for label in labels:
        yield label, [job for job in jobs if job.entry.model == label]


async def _model(sitting: Sitting, label: str, jobs: Sequence[Job], memory: Memory) -> None:
    laid = sitting.laid
    async with opened(laid.models[label], laid.configuration, keep_all=True) as held:
        fingerprints = held.fingerprints
        for batch in _side_by_side(jobs):
            serve = serving(
                held.router,
                laid.models[label],
                batch[0],
                memory,
                laid.configuration,
                sitting.stop,
            )
            async with serve as ready:
                await _batch(sitting, ready, batch, fingerprints, memory)


def _side_by_side(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Jobs of one task and seed, at most so many that their files can be open at once."""
    groups = dict.fromkeys((job.benchmark.name, job.entry.seed) for job in jobs)
    for name, seed in groups:
        same = [j for j in jobs if (j.benchmark.name, j.entry.seed) == (name, seed)]
        for start in range(0, len(same), SIDE_BY_SIDE):
            yield same[start : start + SIDE_BY_SIDE]


# ---------------------------------------------------------------------------------------- driving


async def _batch(
    sitting: Sitting,
    ready: Ready,
    jobs: Sequence[Job],
    fingerprints: Mapping[str, str],
    memory: Memory,
) -> None:
    shelf = Shelf(memory, sitting.stop)
    sitting.progress.what = f"{jobs[0].entry.task} on {jobs[0].entry.model}"
    began = time.monotonic()
    tallies = {job.entry.file: Tally(job.row) for job in jobs}
    try:
        for job in jobs:
            shelf.add(job.entry.file, sitting.folder.journal(job.entry), _header(job, fingerprints))
        flow = _whole(sitting, jobs, shelf, ready, tallies)
        left = _less(sitting.laid.grid.budget, sitting.charged)
        listen = _listener(sitting.purse) if left.bounds() else None
        if ready.at_once:
            done = run(flow, ready.router, budget=left, journal=shelf, listen=listen)
        else:
            done = await run_async(
                flow,
                ready.router,
                budget=left,
                journal=shelf,
                listen=listen,
                stop=sitting.stop,
            )
            if done.problem:
                raise CogitateError(done.problem)
            if sitting.stop.reason:
                raise Interrupted(sitting.stop.reason)
        sitting.charged = sitting.charged + done.usage
    finally:
        _share_time(sitting, tallies, time.monotonic() - began)
        shelf.close()
    for job in jobs:
        sitting.folder.done(job.entry)  # derives the outcomes


def _whole(
    sitting: Sitting, jobs: Sequence[Job], shelf: Shelf, ready: Ready, tallies: Mapping[str, Tally]
) -> Flow[None]:
    """Every question in turn, once a job; what is sealed is left out."""
    purse, keeps = sitting.purse, ready.at_once  # such an engine fails alike every time
    askings = {job.entry.file: asking_of(job, purse, keeps_failures=keeps) for job in jobs}
    progress = sitting.progress
    calls, paid = progress.calls, progress.paid
    limit = jobs[0].limit

    def source() -> Iterator[tuple[str, int, Item]]:
        for number, item in enumerate(jobs[0].benchmark.questions(limit)):
            for job in jobs:
                if not shelf.finished(job.entry.file, item.id):
                    yield job.entry.file, number, item

    def make(work: tuple[str, int, Item]) -> Flow[Any]:
        return _counted(askings[work[0]](work[1], work[2]), tallies[work[0]])

    async def whole() -> None:
        results = each(
            source(),
            make,
            at_most=sitting.laid.grid.at_most,
            stream=lambda work: f"{work[0]}{SEPARATOR}{work[2].id}",
            codec=_PLAIN,
        )
        while True:
            try:
                await anext(results)
            except StopAsyncIteration:
                return
            except (Failed, OutOfBudget) as error:
                _failed(sitting, error)
            else:
                if sitting.stop.reason:
                    return  # what comes now was cut short, and is not sealed
                progress.done += 1
                sitting.failing = 0
            progress.calls = calls + sum(engine.served for engine in ready.wrapped)
            progress.paid = sum((engine.paid for engine in ready.wrapped), paid)
            sitting.tell(progress)

    return whole()


@dataclass
class Tally:
    """What became of a cell in this sitting. Mutable: it counts."""

    row: str
    candidates: int = 0
    failed: int = 0
    """Questions that failures left without an answer, as long as there was no other."""

    def add(self, value: Mapping[str, Any]) -> None:
        """Count a question.

        Raises:
            CogitateError: where nothing but failures came from the cell.
        """
        count = int(value.get("candidates", 1))
        self.candidates += max(1, count)
        if count or value.get("stopped") != "failed":
            self.failed = -1
        elif self.failed >= 0:
            self.failed += 1
        if self.failed >= MOST_FAILED:
            raise CogitateError(
                f"{self.row}: the first {self.failed} questions got no answer, because every request failed "
                f"({value.get('why')}); leave the row out, or give it another model and folder"
            )


async def _counted(flow: Flow[Any], tally: Tally) -> Any:
    value = await flow
    tally.add(value)
    return value


def _failed(sitting: Sitting, error: Exception) -> None:
    """A question that failed stays open.

    Raises:
        CogitateError: where too many fail one after another.
    """
    progress = sitting.progress
    progress.failed += 1
    progress.problem = progress.problem or str(error)
    sitting.failing += 1
    if sitting.failing >= MOST_FAILED and not sitting.stop.reason:
        raise CogitateError(
            f"{MOST_FAILED} questions failed one after another ({error}); what is finished is kept: see to "
            "the model, then run the same command again"
        )


def _listener(purse: Purse) -> Callable[[Event], None]:
    """Sees when the budget of the whole run is spent: its account has no name."""

    def listen(event: Event) -> None:
        if isinstance(event, Told) and isinstance(event.outcome, OutOfBudget):
            purse.spent = purse.spent or not event.outcome.account

    return listen


def _header(job: Job, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    from cogitate import __version__

    entry = job.entry
    return {
        "run": "bench",
        "key": {
            "kind": entry.kind,
            "task": entry.task,
            "model": entry.model,
            "spec": entry.spec,
            "seed": entry.seed,
            "budget": encode(entry.budget),
        },
        "checksum": job.benchmark.checksum,
        "fingerprints": dict(fingerprints),
        "package": __version__,
    }


def _less(grant: Budget, used: Usage) -> Budget:
    """What is left of the budget of the whole run.

    Raises:
        RunSpent: where nothing is.
    """
    left: dict[str, Any] = {}
    for unit, amount in grant.bounds():
        left[unit] = amount - (getattr(used, unit) or 0)
        if left[unit] <= 0:
            raise RunSpent("nothing is left")
    return Budget(**left)


# ------------------------------------------------------------------------------------------- time


def _share_time(sitting: Sitting, tallies: Mapping[str, Tally], seconds: float) -> None:
    """Cells that ran side by side share the wall-clock by the candidates they made."""
    total = sum(tally.candidates for tally in tallies.values())
    for file, tally in tallies.items():
        if tally.candidates:
            share = seconds * tally.candidates / total
            sitting.seconds[file] = sitting.seconds.get(file, 0.0) + share


def _write_host(sitting: Sitting) -> None:
    host = {
        "python": platform.python_version(),
        "platform": sys.platform,
        "machine": platform.machine(),
        "cores": os.cpu_count() or 0,
    }
    said = {"host": host, "seconds": {k: round(v, 3) for k, v in sorted(sitting.seconds.items())}}
    with suppress(OSError):  # timing is not evidence
        replace_file(sitting.folder.path / HOST, json.dumps(said, indent=1) + "\n")
