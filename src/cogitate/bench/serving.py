"""Which engines serve the cells of a task, and whether they answer at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from cogitate.assembly import Configuration, Models, open_spec
from cogitate.assembly.models import is_free
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Engine
from cogitate.core.requests import Generate
from cogitate.core.seeds import Seed
from cogitate.core.task import Message
from cogitate.drive import Router, Stop
from cogitate.drive.batch import complete
from cogitate.engines.grading import Grader

from .asking import seed_of
from .laying import Job
from .remembering import Memory, Remembering


@dataclass(frozen=True)
class Ready:
    """How requests of some cells are served."""

    router: Router
    at_once: bool
    """Whether every engine answers without waiting, so that the batch driver serves them."""
    wrapped: tuple[Remembering, ...]
    """The engines that models stand behind, each once."""


@asynccontextmanager
async def serving(
    router: Router,
    models: Models,
    job: Job,
    memory: Memory,
    configuration: Configuration,
    stop: Stop,
) -> AsyncGenerator[Ready]:
    """The engines for the cells of one task and seed.

    Those that are free and answer at once are driven in batches, others by the asynchronous driver. Recorded
    samples are dealt out anew for each task and seed.

    Args:
        router: over the models as they were opened.
        models: their specs.
        job: any of the cells.
        memory: the replies of the run.
        configuration: with which models are opened.
        stop: ends the run.
    """
    at_once = _answers_at_once(models, router, job.benchmark.kind, configuration)
    mine: dict[int, Remembering] = {}
    fresh: list[Engine] = []
    roles: dict[str, tuple[Engine, ...]] = {}
    for role, engines in router.roles.items():
        for engine in engines:
            if id(engine) not in mine:
                used = engine
                if hasattr(engine, "deal"):
                    used = await _dealt(str(models.specs[role]), job, configuration)
                    fresh.append(used)
                mine[id(engine)] = Remembering(used, memory, stop if at_once else None)
        roles[role] = tuple(mine[id(engine)] for engine in engines)
    services: Sequence[Engine] = router.services
    if at_once:  # and so must grading, which it does without symbols
        services = [Grader(symbolic=False)]
        fresh += services
    try:
        yield Ready(Router(roles, services), at_once, tuple(mine.values()))
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


async def _dealt(spec: str, job: Job, configuration: Configuration) -> Engine:
    """Recorded samples, dealt to the samples of each question in order: a run that goes on finds the same."""
    made: Any = await open_spec(spec, configuration)
    for item in job.benchmark.questions(job.limit):
        seed = seed_of(job.benchmark, item, job.entry.seed)
        made.deal(item.task.question, _first_steps(seed))
    return made


def _first_steps(seed: Seed) -> Callable[[int], int]:
    """The seeds that the samples of a question are asked for with."""
    return lambda i: seed.at("sample", i).at("step", 0).int()
