"""Runs a grid: questions in turn, all cells of a question side by side, everything journaled in the run folder."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

from cogitate.assembly import Configuration, Models, open_spec, opened
from cogitate.assembly.models import is_free
from cogitate.core.errors import CogitateError, Failed, OutOfBudget
from cogitate.core.events import Answered as Told
from cogitate.core.events import Event
from cogitate.core.flow import Flow, each
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Engine, ReadsLogprobs
from cogitate.core.requests import Generate
from cogitate.core.seeds import Seed
from cogitate.core.task import Message
from cogitate.core.usage import ZERO, Budget, Usage
from cogitate.drive import Router, Stop, run, run_async
from cogitate.drive.batch import complete
from cogitate.engines.grading import Grader

from .asking import Answered, Asking, Plain, Purse, RunSpent, seed_of
from .folder import HOST, REPLIES, Folder, replace_file, timing
from .laying import Job, Laid
from .pooling import Drawing, Scoring
from .remembering import Interrupted, Memory, Remembering, RunCache
from .shelf import SEPARATOR, Shelf
from .tasks import Item

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
    at_most: int
    progress: Progress = field(default_factory=Progress)
    purse: Purse = field(default_factory=Purse)
    charged: Usage = ZERO
    """By all sittings and cells, for the budget of the whole run."""
    seconds: dict[str, float] = field(default_factory=dict[str, float])
    """By file, of all sittings."""
    failing: int = 0
    shown: float = 0.0


async def carry_out(
    laid: Laid, folder: Folder, *, stop: Stop | None = None, tell: Tell | None = None
) -> Summary:
    """Do what of a grid is not done yet.

    Raises:
        CogitateError: where a model cannot be opened, a journal cannot be written, or the model is gone.
    """
    began = time.monotonic()
    sitting = Sitting(laid, folder, stop or Stop(), tell or (lambda _: None), laid.grid.at_most)
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
    return Summary(sitting.progress, time.monotonic() - began, stopped)


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
    finished = sum(job.entry.rows for job in sitting.laid.jobs if job not in open_jobs)
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
            async with _router(
                sitting, held.router, laid.models[label], batch[0], memory
            ) as router:
                await _batch(sitting, router, batch, fingerprints, memory)


def _side_by_side(jobs: Sequence[Job]) -> Iterator[list[Job]]:
    """Jobs of one task and seed, at most so many that their files can be open at once."""
    groups = dict.fromkeys((job.benchmark.name, job.entry.seed) for job in jobs)
    for name, seed in groups:
        same = [j for j in jobs if (j.benchmark.name, j.entry.seed) == (name, seed)]
        for start in range(0, len(same), SIDE_BY_SIDE):
            yield same[start : start + SIDE_BY_SIDE]


# ---------------------------------------------------------------------------------------- engines


@dataclass(frozen=True)
class Ready:
    """How requests of some cells are served."""

    router: Router
    at_once: bool
    """Whether every engine answers without waiting, so that the batch driver serves them."""
    wrapped: tuple[Remembering, ...]
    earlier: tuple[int, Usage]
    """Calls and payments of the sitting before."""

    def count(self, progress: Progress) -> None:
        """Tell what the engines were asked."""
        calls, paid = self.earlier
        progress.calls = calls + sum(engine.served for engine in self.wrapped)
        progress.paid = sum((engine.paid for engine in self.wrapped), paid)


@asynccontextmanager
async def _router(
    sitting: Sitting, router: Router, models: Models, job: Job, memory: Memory
) -> AsyncGenerator[Ready]:
    """The engines for the cells of one task and seed.

    Those that are free and answer at once are driven in batches, others by the asynchronous driver. Recorded
    samples are dealt out anew for each task and seed.
    """
    at_once = _answers_at_once(models, router, job.benchmark.kind, sitting.laid.configuration)
    mine: dict[int, Remembering] = {}
    fresh: list[Engine] = []
    roles: dict[str, tuple[Engine, ...]] = {}
    for role, engines in router.roles.items():
        for engine in engines:
            if id(engine) not in mine:
                used = engine
                if hasattr(engine, "deal"):
                    used = await _dealt(sitting, str(models.specs[role]), job)
                    fresh.append(used)
                mine[id(engine)] = Remembering(used, memory, sitting.stop if at_once else None)
        roles[role] = tuple(mine[id(engine)] for engine in engines)
    services: Sequence[Engine] = router.services
    if at_once:  # and so must grading, which it does without symbols
        services = [Grader(symbolic=False)]
        fresh += services
    progress = sitting.progress
    earlier = (progress.calls, progress.paid)
    try:
        yield Ready(Router(roles, services), at_once, tuple(mine.values()), earlier)
    finally:
        for engine in fresh:
            await engine.close()


def _answers_at_once(
    models: Models, router: Router, kind: str, configuration: Configuration
) -> bool:
    if kind in ("math", "code"):  # graded in processes of their own
        return False
    specs = list(models.specs.values())
    if not all(isinstance(s, str) for s in models.roles.values()):
        return False
    return all(is_free(spec, configuration) for spec in specs) and all(
        _immediate(engine) for engines in router.roles.values() for engine in engines
    )


def _immediate(engine: Engine) -> bool:
    """Whether an engine that costs nothing answers without waiting."""
    probe = Generate(Prompt.chat(Message("user", "?")), seed=0, max_tokens=1)
    try:
        complete(engine.serve([probe]))
    except Exception:
        return False
    return True


async def _dealt(sitting: Sitting, spec: str, job: Job) -> Engine:
    """Recorded samples, dealt to the samples of each question in order: a run that goes on finds the same."""
    made: Any = await open_spec(spec, sitting.laid.configuration)
    for item in job.benchmark.questions(job.limit):
        seed = seed_of(job.benchmark, item, job.entry.seed)
        made.deal(item.task.question, _first_steps(seed))
    return made


def _first_steps(seed: Seed) -> Callable[[int], int]:
    """The seeds that the samples of a question are asked for with."""
    return lambda i: seed.at("sample", i).at("step", 0).int()


# ---------------------------------------------------------------------------------------- driving


async def _batch(
    sitting: Sitting,
    ready: Ready,
    jobs: Sequence[Job],
    fingerprints: Mapping[str, str],
    memory: Memory,
) -> None:
    shelf = Shelf(memory.replies, memory.recall, sitting.stop)
    sitting.progress.what = f"{jobs[0].entry.task} on {jobs[0].entry.model}"
    began = time.monotonic()
    counts: dict[str, int] = {}
    try:
        for job in jobs:
            shelf.add(job.entry.file, sitting.folder.journal(job.entry), _header(job, fingerprints))
        flow = _whole(sitting, jobs, shelf, ready, counts)
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
            if sitting.stop.reason:
                raise Interrupted(sitting.stop.reason)
        sitting.charged = sitting.charged + done.usage
        if done.problem:
            raise CogitateError(done.problem)
    finally:
        _share_time(sitting, counts, time.monotonic() - began)
        shelf.close()
    for job in jobs:
        sitting.folder.done(job.entry)  # derives the outcomes


def _whole(
    sitting: Sitting, jobs: Sequence[Job], shelf: Shelf, ready: Ready, counts: dict[str, int]
) -> Flow[None]:
    """Every question in turn, once a job; what is sealed is left out."""
    askings = {job.entry.file: _asking(sitting, job, at_once=ready.at_once) for job in jobs}
    progress = sitting.progress
    limit = jobs[0].limit

    def source() -> Iterator[tuple[str, int, Item]]:
        for number, item in enumerate(jobs[0].benchmark.questions(limit)):
            for job in jobs:
                if not shelf.finished(job.entry.file, item.id):
                    yield job.entry.file, number, item

    def make(work: tuple[str, int, Item]) -> Flow[Any]:
        return _counted(askings[work[0]](work[1], work[2]), work[0], counts)

    async def whole() -> None:
        results = each(
            source(),
            make,
            at_most=sitting.at_most,
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
            ready.count(progress)
            sitting.tell(progress)

    return whole()


async def _counted(flow: Flow[Any], file: str, counts: dict[str, int]) -> Any:
    value = await flow
    counts[file] = counts.get(file, 0) + max(1, int(value.get("candidates", 0)))
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


def _asking(sitting: Sitting, job: Job, *, at_once: bool) -> Asking:
    entry, kind = job.entry, job.benchmark.kind
    if entry.kind == "cell":
        return Answered(
            job.what.for_kind(kind), job.benchmark, entry.budget, entry.seed, sitting.purse, at_once
        )
    process = drawn_by(job)
    if entry.kind == "pool":
        return Drawing(process, job.benchmark, job.samples, entry.seed, sitting.purse)
    scorer = job.what.for_kind(kind)
    return Scoring(process, scorer, job.benchmark, job.samples, entry.seed, sitting.purse)


def drawn_by(job: Job) -> Any:
    """The process that draws a pool's samples, with the log-probabilities that a scorer of it reads."""
    from dataclasses import replace

    kind = job.benchmark.kind
    made = (job.process or job.what).for_kind(kind)
    scorers = [scorer.for_kind(kind) for scorer in job.readers]
    needed = max([s.logprobs for s in scorers if isinstance(s, ReadsLogprobs)], default=-1)
    return replace(made, logprobs=needed) if needed > getattr(made, "logprobs", needed) else made


def _listener(purse: Purse) -> Callable[[Event], None]:
    """Sees when the budget of the whole run is spent: its account has no name."""

    def listen(event: Event) -> None:
        if isinstance(event, Told) and isinstance(event.outcome, OutOfBudget):
            purse.spent = purse.spent or not event.outcome.account

    return listen


def _header(job: Job, fingerprints: Mapping[str, str]) -> dict[str, Any]:
    from cogitate import __version__
    from cogitate.core.codec import encode

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


def _share_time(sitting: Sitting, counts: Mapping[str, int], seconds: float) -> None:
    """Cells that ran side by side share the wall-clock by the candidates they made."""
    total = sum(counts.values())
    for file, count in counts.items():
        share = seconds * count / total
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
