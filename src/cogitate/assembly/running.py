"""Driving a plan: engines opened, journal kept, and the best so far on an interrupt."""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import threading
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from cogitate.core.candidates import Artifact, Ranking
from cogitate.core.codec import decode
from cogitate.core.errors import CogitateError, JournalError
from cogitate.core.events import Listener
from cogitate.core.usage import Budget
from cogitate.drive import FileJournal, Run, Stop, replay, run_async

from .keeping import CacheLike, Kept, keeping
from .models import Opened, opened
from .planning import Plan
from .result import Result

T = TypeVar("T")
_POLL_S = 0.2
_LOG = logging.getLogger("cogitate")

_SAME = ("run", "strategy", "task", "tasks", "seed", "models", "fingerprints", "scorer", "at_most")
"""What must agree between a journal and the run that goes on with it."""


async def carry_out(
    plan: Plan,
    *,
    journal: str | Path | None = None,
    listen: Listener | None = None,
    stop: Stop | None = None,
    from_mismatch: bool = False,
    cache: CacheLike = None,
) -> Result:
    """Open the models, drive the plan, close everything.

    A journal that holds the beginning of the same run is gone on with; what it has is not paid again,
    and neither is what the cache has.

    Raises:
        CogitateError: in one sentence.
    """
    path = Path(journal) if journal is not None else None
    with keeping(cache, plan.configuration) as kept:
        return await _carried_out(plan, path, listen, stop, from_mismatch, kept)


async def _carried_out(
    plan: Plan,
    path: Path | None,
    listen: Listener | None,
    stop: Stop | None,
    from_mismatch: bool,
    kept: Kept,
) -> Result:
    async with opened(
        plan.models, plan.configuration, functions=plan.functions, keep_all=kept.every
    ) as models:
        return await carry_out_on(
            plan, models, path, listen=listen, stop=stop, from_mismatch=from_mismatch, kept=kept
        )


async def carry_out_on(
    plan: Plan,
    models: Opened,
    journal: Path | None = None,
    *,
    listen: Listener | None = None,
    stop: Stop | None = None,
    from_mismatch: bool = False,
    kept: Kept | None = None,
) -> Result:
    """Drive a plan on models that are open already and stay so; many runs may share them.

    Raises:
        CogitateError: in one sentence.
    """
    plan.check(models)
    book = (
        None if journal is None else begun(journal, plan.header(models.fingerprints), from_mismatch)
    )
    _LOG.info("solving with %s on %s", plan.strategy, plan.models)
    problem = ""
    try:
        run = await run_async(
            plan.flow(),
            models.router,
            budget=plan.budget,
            journal=book,
            listen=listen,
            stop=stop,
            keep_refusals=book is None or same_budget(book.header, plan.budget),
            keep_failures=book is None or not in_vain(book, plan),
            from_mismatch=from_mismatch,
            elapsed_s=0.0 if book is None else book.elapsed_s,
            cache=None if kept is None else kept.replies,
        )
    finally:
        problem = ended(book)
    notes = () if kept is None else kept.notes
    return result_of(plan, run, journal, problem, (*models.notes, *notes))


def in_vain(book: FileJournal, plan: Plan) -> bool:
    """Whether the journal holds a whole run that failures left without an answer: those are asked again.

    A failure in a run that gave an answer, or that was killed, is what the world decided, and stands.
    """
    if not book.holds("", "failed"):
        return False
    try:
        # A reader of its own: what this replay publishes must not be written before the run goes on.
        with FileJournal.open(book.path, read_only=True) as reader:
            ranking = replay(plan.flow(), reader, budget=plan.budget).value
    except CogitateError:
        return False
    return not any(c.state.text.strip() for c in ranking.items)


def begun(path: Path, header: Mapping[str, Any], from_mismatch: bool = False) -> FileJournal:
    """A journal for this run: new, or the one that an earlier attempt left.

    Raises:
        JournalError: where the file holds another run.
    """
    if not path.exists() or not path.stat().st_size:
        return FileJournal.create(path, header)
    book = FileJournal.open(path)
    for name in _SAME:
        was, now = book.header.get(name), plain(header.get(name))
        if was != now and not (from_mismatch and name in ("strategy", "fingerprints", "models")):
            book.close()
            raise JournalError(
                f"the journal {path} holds another run: its {name} differs ({_short(was)} there, "
                f"{_short(now)} here); name another file, or ask what it asked"
            )
    return book


def same_budget(header: Mapping[str, Any], budget: Budget) -> bool:
    """Whether a run card names this budget: under another one, recorded refusals do not stand."""
    return decode(Budget, header.get("budget", {})) == budget


def ended(book: FileJournal | None) -> str:
    """Close a journal; a full disk is a problem to report, and no reason to lose the answer."""
    if book is None:
        return ""
    try:
        book.close()
    except JournalError as error:
        return str(error)
    return ""


def result_of(
    plan: Plan,
    run: Run[Ranking[Artifact]],
    journal: Path | None = None,
    problem: str = "",
    notes: tuple[str, ...] = (),
) -> Result:
    """What a finished run says."""
    ranking = run.value
    best = ranking.items[0].state.answer if ranking.items else None
    return Result(
        task=plan.asked.task,
        ranking=ranking,
        strategy=plan.strategy,
        model=str(plan.models),
        seed=plan.seed,
        usage=run.usage,
        paid=run.spent,
        roles=MappingProxyType(dict(run.roles)),
        stopped=_STOPPED.get(run.stopped, run.stopped) or ranking.stopped,
        journal=journal,
        reason=plan.reason,
        parsed=plan.asked.parse(best),
        problem=problem or run.problem,
        notes=notes,
    )


_STOPPED = {"seconds": "deadline"}


def in_thread(work: Callable[[], Coroutine[Any, Any, T]], stop: Stop) -> T:
    """Drive in a thread with a loop of its own, so that it works inside a running loop too.

    An interrupt asks the run to stop and waits for its best so far; a second one gives up.

    Raises:
        KeyboardInterrupt: at the second interrupt.
    """
    ready = threading.Event()
    outcome: list[tuple[T | None, BaseException | None]] = []
    held: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[T]]] = []

    async def whole() -> T:
        task = asyncio.ensure_future(work())
        held.append((asyncio.get_running_loop(), task))
        return await task

    def body() -> None:
        try:
            outcome.append((asyncio.run(whole()), None))
        except BaseException as error:
            outcome.append((None, error))
        finally:
            ready.set()

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(body,), name="cogitate", daemon=True)
    thread.start()
    interrupts = 0
    while not ready.is_set():
        try:
            ready.wait(_POLL_S)  # bounded, since an unbounded wait cannot be interrupted on Windows
        except KeyboardInterrupt:
            interrupts += 1
            stop.request("interrupted")
            if interrupts > 1:
                for loop, task in held:
                    loop.call_soon_threadsafe(task.cancel)
                ready.wait(5.0)
                raise
    thread.join()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value  # pyright: ignore[reportReturnType]


def plain(value: Any) -> Any:
    """The value as it comes back from JSON."""
    return json.loads(json.dumps(value))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
