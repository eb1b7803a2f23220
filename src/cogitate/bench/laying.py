"""From a grid to the work there is: every name looked up and every row read before anything is spent."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, cast

from cogitate.assembly import Assembled, Configuration, Models, named, read
from cogitate.assembly.factory import nearest
from cogitate.assembly.planning import Known, choose, prompt_hashes
from cogitate.core.codec import encode
from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Budget
from cogitate.processes import Answer, Reasoning

from .folder import Entry
from .grid import Block, Draws, Grid, Point
from .tasks import Benchmark, find

METHODS: Final = ("random", "majority", "weighted", "best_of", "coverage")
"""Selection methods that a pool may name; those with a scorer as `best_of(scorer=…)`."""
_OPEN: Final = read("answer()", "process")
_METHOD = re.compile(r"\s*([a-z_]+)\s*(?:\(\s*(?:scorer\s*=\s*)?(.*?)\s*\))?\s*", re.DOTALL)


@dataclass(frozen=True)
class Job:
    """What fills one journal: a strategy on every question of a task, or samples, or their scores."""

    entry: Entry
    what: Assembled
    """The strategy, the process or the scorer."""
    benchmark: Benchmark
    row: str
    """Where it stands in the grid."""
    process: Assembled | None = None
    """For scores: what drew the samples."""
    samples: int = 0
    limit: int | None = None
    readers: tuple[Assembled, ...] = ()
    """Every scorer of the pool: the samples are drawn with what they read."""


@dataclass(frozen=True)
class Laid:
    """A grid whose names are all known."""

    grid: Grid
    models: Mapping[str, Models]
    """By label."""
    benchmarks: Mapping[str, Benchmark]
    """By the name they have in the grid."""
    jobs: tuple[Job, ...]
    configuration: Configuration = field(repr=False)

    def card(self, fingerprints: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
        """The run card; the same for every run of this grid."""
        from cogitate import __version__

        cells = [job.entry for job in self.jobs if job.entry.kind == "cell"]
        limits = {job.benchmark.name: job.limit for job in self.jobs}
        return {
            "name": self.grid.name,
            "package": __version__,
            "tasks": [
                benchmark.card() | {"asked": _asked(benchmark, limits.get(benchmark.name))}
                for benchmark in self.benchmarks.values()
            ],
            "models": [
                {"label": label, "specs": held.specs, "fingerprints": dict(fingerprints[label])}
                for label, held in self.models.items()
            ],
            "strategies": [
                {"spec": spec, "line": line, "n": n}
                for spec, line, n in dict.fromkeys((e.spec, e.line, e.n) for e in cells)
            ],
            "budgets": _once([encode(entry.budget) for entry in cells]),
            "seeds": sorted({job.entry.seed for job in self.jobs}),
            "pools": [_pool_card(draws) for draws in self.grid.pools],
            "budget": encode(self.grid.budget),
            "prompts": prompt_hashes(),
        }


def _asked(benchmark: Benchmark, limit: int | None) -> int:
    return benchmark.rows if limit is None else min(limit, benchmark.rows)


def _once(values: list[Any]) -> list[Any]:
    return [value for i, value in enumerate(values) if value not in values[:i]]


def _pool_card(draws: Draws) -> dict[str, Any]:
    held = cast("dict[str, Any]", encode(draws))
    held.pop("row", None)
    return held


def lay(grid: Grid, configuration: Configuration, *, directory: Path | None = None) -> Laid:
    """Look everything up.

    Args:
        grid: what is wanted.
        configuration: aliases, endpoints and prices.
        directory: of the user's data.

    Raises:
        InvalidInput: for an unknown task, model, strategy or scorer, for data that are missing or not as they
            should be, and for rows that are the same; says which row.
    """
    models = {label: _model(label, spec, configuration) for label, spec in grid.models.items()}
    names = [t for part in (*grid.blocks, *grid.pools) for t in part.tasks]
    benchmarks = {name: find(name, directory=directory) for name in dict.fromkeys(names)}
    made = Laid(grid, models, benchmarks, (), configuration)
    jobs: list[Job] = []
    for block in grid.blocks:
        jobs += _cells(made, block)
    for draws in grid.pools:
        jobs += _draws(made, draws)
    _check_twice(jobs)
    _check_limits(jobs)
    return Laid(grid, models, benchmarks, tuple(jobs), configuration)


def _model(label: str, spec: Any, configuration: Configuration) -> Models:
    try:
        return named(spec, configuration)
    except InvalidInput as error:
        raise InvalidInput(f"the model {label}: {error}") from None


def _cells(laid: Laid, block: Block) -> Iterator[Job]:
    chosen: dict[tuple[int, str, bool, str], Assembled] = {}
    for name in block.tasks:
        benchmark = laid.benchmarks[name]
        for label in block.models:
            verifier = laid.models[label].has_verifier
            for seed in block.seeds:
                for budget in block.budgets:
                    _check_seconds(budget)
                    for number, point in enumerate(block.points):
                        key = (number, benchmark.kind, verifier, benchmark.preset)
                        if key not in chosen:
                            chosen[key] = _strategy(point, benchmark, verifier, laid)
                        what = chosen[key]
                        entry = _entry("cell", benchmark, label, what, seed, block.limit)
                        yield Job(
                            _with(entry, budget=budget, line=point.line, n=point.n),
                            what,
                            benchmark,
                            point.row,
                            limit=block.limit,
                        )


def _strategy(point: Point, benchmark: Benchmark, verifier: bool, laid: Laid) -> Assembled:
    try:
        known = Known(laid.configuration, verifier=verifier)
        chosen = cast("Assembled", choose(point.spec, None, benchmark.kind, known).strategy)
        return prompted(chosen, benchmark.preset)
    except InvalidInput as error:
        raise InvalidInput(f"{point.row}, {point.spec!r}: {error}") from None


def prompted(strategy: Assembled, preset: str) -> Assembled:
    """The strategy with the preset of a task, wherever it leaves its process open.

    >>> prompted(read("vote(greedy())"), "word_problems")
    vote(greedy(process=answer(preset="word_problems")))
    """
    if not preset:
        return strategy
    made = strategy
    for name, held in strategy.arguments:
        if isinstance(held, Assembled) and held.family == "strategy":
            made = made.with_argument(name, prompted(held, preset))
        elif isinstance(held, tuple):
            parts = cast("tuple[Any, ...]", held)
            if any(isinstance(p, Assembled) and p.family == "strategy" for p in parts):
                made = made.with_argument(name, tuple(prompted(part, preset) for part in parts))
    if "process" in strategy.factory.parameters and strategy.argument("process") is None:
        used: Any = getattr(strategy.for_kind("number"), "process", None)
        name = "answer" if isinstance(used, Answer) else None
        name = "reasoning" if isinstance(used, Reasoning) else name
        if name is not None:
            made = made.with_argument("process", _with_preset(read(name, "process"), preset))
    return made


def _with_preset(process: Assembled, preset: str) -> Assembled:
    if "preset" not in process.factory.parameters or process.argument("preset"):
        return process
    return process.with_argument("preset", preset)


def _draws(laid: Laid, draws: Draws) -> Iterator[Job]:
    plain = _part(draws.process, "process", f"{draws.row}, process")
    scorers = [_part(spec, "scorer", f"{draws.row}, scorers") for spec in draws.scorers]
    for spec in draws.select:
        scorers += _scorer_of(spec, draws.row)
    scorers = list({str(scorer): scorer for scorer in scorers}.values())
    for name in draws.tasks:
        benchmark = laid.benchmarks[name]
        process = _with_preset(plain, benchmark.preset) if plain == _OPEN else plain
        for label in draws.models:
            for seed in draws.seeds:
                entry = _entry("pool", benchmark, label, process, seed, draws.limit, draws.samples)
                drawing = Job(
                    entry,
                    process,
                    benchmark,
                    draws.row,
                    samples=draws.samples,
                    limit=draws.limit,
                    readers=tuple(scorers),
                )
                yield drawing
                for scorer in scorers:
                    scored = _entry(
                        "scores",
                        benchmark,
                        label,
                        scorer,
                        seed,
                        draws.limit,
                        draws.samples,
                        entry.file,
                    )
                    yield replace(drawing, entry=scored, what=scorer, process=process)


def _part(spec: str, family: Any, where: str) -> Assembled:
    try:
        return read(spec, family)
    except InvalidInput as error:
        raise InvalidInput(f"{where}, {spec!r}: {error}") from None


def _scorer_of(spec: str, where: str) -> list[Assembled]:
    """The scorer that a selection method reads, if it reads one."""
    found = _METHOD.fullmatch(spec)
    name = found[1] if found else spec
    if found is None or name not in METHODS:
        raise InvalidInput(f"{where}, select: there is no {name!r}{nearest(name, METHODS)}")
    if name in ("weighted", "best_of"):
        if not found[2]:
            raise InvalidInput(
                f"{where}, select: {name} reads a scorer; write {name}(scorer=prm()), for instance"
            )
        return [_part(found[2], "scorer", f"{where}, select")]
    if found[2]:
        raise InvalidInput(f"{where}, select: {name} reads no scorer; write {name}")
    return []


def _entry(
    kind: str,
    benchmark: Benchmark,
    label: str,
    what: Assembled,
    seed: int,
    limit: int | None,
    samples: int = 0,
    pool: str = "",
) -> Entry:
    rows = _asked(benchmark, limit)
    return _with(
        Entry("", kind, benchmark.name, label, str(what), seed, rows, pool=pool, samples=samples)
    )


def _with(entry: Entry, **changes: Any) -> Entry:
    """The entry with its file's name, which follows from what it is and not from how many questions it has."""
    made = replace(entry, **changes)
    said = [made.kind, made.task, made.model, made.spec, made.seed, repr(made.budget), made.pool]
    said += [made.samples] if made.samples else []
    digest = hashlib.blake2b(repr(said).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    short = (
        re.sub(r"[^a-z0-9]+", "-", f"{made.kind} {made.spec}".lower()).strip("-")[:40].strip("-")
    )
    return replace(made, file=f"{short}-{digest}")


def _check_seconds(budget: Budget) -> None:
    if budget.seconds is not None:
        raise InvalidInput(
            "a budget in seconds was asked for a question; questions share engines, so their seconds cannot "
            "be counted apart: bound tokens_out or calls"
        )


def _check_twice(jobs: list[Job]) -> None:
    seen: dict[str, Job] = {}
    for job in jobs:
        other = seen.setdefault(job.entry.file, job)
        if other is not job:
            where = "" if other.row == job.row else f" ({other.row} and {job.row})"
            raise InvalidInput(
                f"the {job.entry.kind} {job.entry.spec} on {job.entry.task} with {job.entry.model} and seed "
                f"{job.entry.seed} is asked for twice{where}; leave one out"
            )


def _check_limits(jobs: list[Job]) -> None:
    """One number of questions a task: curves of different questions cannot be compared."""
    limits: dict[str, int | None] = {}
    for job in jobs:
        if limits.setdefault(job.benchmark.name, job.limit) != job.limit:
            raise InvalidInput(
                f"the task {job.benchmark.name} is asked for with two limits, {limits[job.benchmark.name]} "
                f"and {job.limit}; give it one"
            )
