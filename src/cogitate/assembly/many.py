"""Many tasks under one budget, side by side, each in a journal stream of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from cogitate.core.candidates import Artifact, Ranking
from cogitate.core.codec import decode, encode
from cogitate.core.errors import CogitateError, InvalidInput
from cogitate.core.events import Answered, Event, Listener
from cogitate.core.flow import Flow, each
from cogitate.core.seeds import Seed
from cogitate.core.task import Task
from cogitate.core.usage import ZERO, Budget, Usage
from cogitate.drive import FileJournal, Run, Stop, run_async

from .configuration import Configuration, load
from .keeping import CacheLike, Kept, keeping
from .models import ModelLike, Models, named, opened
from .own import Function, functions_of
from .planning import (
    Choice,
    Chosen,
    Known,
    Plan,
    RankingCodec,
    card,
    check_budget,
    check_seed,
    check_served,
    check_units,
    choose,
    flow_of,
)
from .result import Result
from .running import begun, ended, result_of, same_budget
from .tasks import Asked, asked

AT_MOST: Final = 16
"""Tasks in flight at once, where the caller does not say."""

Deliver = Callable[[int, Plan, Ranking[Artifact]], None]
"""Gets the number of a finished task, its plan and its ranking."""

_CODEC: Final = RankingCodec()


@dataclass(frozen=True)
class Many:
    """A run over tasks; what each needs is settled when its turn comes."""

    tasks: Iterable[str | Task]
    strategy: str | Chosen | None
    scorer: Any
    kind: str | type | None
    models: Models
    budget: Budget
    seed: int
    at_most: int
    configuration: Configuration = field(repr=False)
    functions: Mapping[str, Function] = field(default_factory=lambda: MappingProxyType({}))

    def plan(self, number: int, question: str | Task) -> Plan:
        """The plan of one task.

        Raises:
            InvalidInput: saying which task is at fault.
        """
        try:
            wanted = asked(question, self.kind)
            choice = self._choice(wanted)
        except InvalidInput as error:
            raise InvalidInput(f"task {number}: {error}") from None
        return Plan(wanted, choice, self.models, self.budget, self.seed, self.configuration)

    def _choice(self, wanted: Asked) -> Choice:
        known = Known(self.configuration, self.functions, self.models.has_verifier)
        return choose(self.strategy, self.scorer, wanted.task.kind, known)

    def flow(self, deliver: Deliver) -> Flow[None]:
        """The whole run; hands over each task's ranking in the order of the tasks."""

        async def whole() -> None:
            plans: dict[int, Plan] = {}

            def one(item: tuple[int, str | Task]) -> Flow[Ranking[Artifact]]:
                number = item[0]
                return flow_of(
                    plans[number].strategy,
                    plans[number].asked.task,
                    Seed(self.seed).at("task", number),
                )

            def source() -> Iterable[tuple[int, str | Task]]:
                for number, question in enumerate(self.tasks):
                    plans[number] = self.plan(number, question)
                    yield number, question

            results = each(
                source(), one, at_most=self.at_most, stream=lambda item: str(item[0]), codec=_CODEC
            )
            done = 0
            async for ranking in results:
                deliver(done, plans.pop(done), ranking)
                done += 1

        return whole()

    def header(self, fingerprints: Mapping[str, str]) -> dict[str, Any]:
        """The run card; it holds the tasks where they are a sequence, so that it replays alone."""
        chosen = self.strategy if self.strategy is not None else self.configuration.strategy or None
        listed: Any = None
        if isinstance(self.tasks, Sequence):
            listed = [encode(self.plan(n, task).asked.task) for n, task in enumerate(self.tasks)]
        return card(self.models, self.budget, self.seed, fingerprints) | {
            "run": "solve_many",
            "strategy": None if chosen is None else str(chosen),
            "scorer": None if self.scorer is None else str(self.scorer),
            "tasks": listed,
            "at_most": self.at_most,
        }


class Tally:
    """What each stream spent; mutable, because it listens."""

    def __init__(self, more: Listener | None) -> None:
        self._more = more
        self._charged: dict[str, dict[str, Usage]] = {}
        self._spent: dict[str, Usage] = {}

    def __call__(self, event: Event) -> None:
        if isinstance(event, Answered):
            used = getattr(event.outcome, "usage", None)
            if used is not None and used is not ZERO:
                roles = self._charged.setdefault(event.stream, {})
                roles[event.request.role] = roles.get(event.request.role, ZERO) + used
                if not getattr(event.outcome, "cached", False):
                    self._spent[event.stream] = self._spent.get(event.stream, ZERO) + used
        if self._more is not None:
            self._more(event)

    def take(self, stream: str, book: FileJournal | None) -> tuple[dict[str, Usage], Usage]:
        """The usage of a finished stream by role, and what of it was paid for; a seal knows them, too."""
        roles, spent = self._charged.pop(stream, None), self._spent.pop(stream, ZERO)
        if roles is None and book is not None and (seal := book.sealed(stream)) is not None:
            roles = {role: decode(Usage, used) for role, used in seal["roles"].items()}
            spent = decode(Usage, seal["spent"]) if "spent" in seal else sum(roles.values(), ZERO)
        return roles or {}, spent


async def solve_many(
    tasks: Iterable[str | Task],
    *,
    model: ModelLike | None = None,
    strategy: str | Chosen | None = None,
    budget: Budget | None = None,
    kind: str | type | None = None,
    seed: int = 0,
    scorer: str | Any | None = None,
    at_most: int = AT_MOST,
    journal: str | Path | None = None,
    listen: Listener | None = None,
    stop: Stop | None = None,
    functions: Mapping[str, Function] | None = None,
    configuration: Configuration | None = None,
    from_mismatch: bool = False,
    cache: CacheLike = None,
) -> AsyncGenerator[Result, None]:
    """Answer many tasks under one budget; results come in the order of the tasks.

    Tasks run side by side and share batches; memory is flat in their number. Once the budget is spent
    the remaining tasks come back unanswered, with `stopped` saying so. Leaving the loop early cancels
    the rest. A journal seals each finished task, so that a resumed run does not repeat it.

    Args:
        tasks: questions or tasks; read only as far as needed.
        model: as for `solve`.
        strategy: as for `solve`; where it is left open, chosen for each task by its kind of answer.
        budget: one grant for all tasks together.
        kind: of every task that is given as text.
        seed: each task draws from a seed of its own below this one.
        scorer: as for `solve`.
        at_most: tasks in flight at once.
        journal: a file that records the run; one that holds its beginning is gone on with.
        listen: hears every event.
        stop: a handle that ends the run from outside.
        functions: the callers' functions that specs read from text name.
        configuration: by default read from the file and the environment.
        from_mismatch: go on with a journal of changed prompts or code, keeping what matches.
        cache: as for `solve`.

    Raises:
        InvalidInput: for what cannot be done; said before anything is spent where it can be known.
    """
    if at_most < 1:
        raise InvalidInput(f"at_most={at_most} was asked for; at least one task must be in flight")
    held = configuration or load()
    run = Many(
        tasks,
        strategy,
        scorer,
        kind,
        named(model, held),
        check_budget(budget if budget is not None else held.budget),
        check_seed(seed),
        at_most,
        held,
        MappingProxyType(dict(functions or {})),
    )
    with keeping(cache, held) as kept:
        async with aclosing(_results(run, journal, listen, stop, from_mismatch, kept)) as results:
            async for result in results:
                yield result


async def _results(
    many: Many,
    journal: str | Path | None,
    listen: Listener | None,
    stop: Stop | None,
    from_mismatch: bool,
    kept: Kept,
) -> AsyncGenerator[Result, None]:
    path = Path(journal) if journal is not None else None
    own = functions_of([part for part in (many.strategy, many.scorer) if part is not None])
    async with opened(
        many.models,
        many.configuration,
        functions={**many.functions, **own},
        keep_all=kept.every,
    ) as models:
        check_units(many.budget, models)
        check_served(cast(Any, many.strategy), models)
        book = (
            None if path is None else begun(path, many.header(models.fingerprints), from_mismatch)
        )
        tally, queue = Tally(listen), asyncio.Queue[Result | None]()

        def deliver(number: int, plan: Plan, ranking: Ranking[Artifact]) -> None:
            roles, spent = tally.take(str(number), book)
            done = Run(ranking, sum(roles.values(), ZERO), roles, spent=spent)
            notes = (*models.notes, *kept.notes)
            queue.put_nowait(result_of(plan, done, path, notes=notes))

        async def drive() -> Run[None]:
            try:
                return await run_async(
                    many.flow(deliver),
                    models.router,
                    budget=many.budget,
                    journal=book,
                    listen=tally,
                    stop=stop,
                    keep_refusals=book is None or same_budget(book.header, many.budget),
                    from_mismatch=from_mismatch,
                    elapsed_s=0.0 if book is None else book.elapsed_s,
                    cache=kept.replies,
                )
            finally:
                queue.put_nowait(None)

        driving = asyncio.create_task(drive())
        try:
            while (result := await queue.get()) is not None:
                yield result
            problem = (await driving).problem
        finally:
            driving.cancel()
            await asyncio.wait([driving])
            problem = ended(book)
        if problem:
            raise CogitateError(problem)
