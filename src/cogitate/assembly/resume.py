"""From a journal back to its run: replayed without a model, or gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cogitate.core.candidates import Artifact, Ranking
from cogitate.core.codec import decode
from cogitate.core.errors import CogitateError, InvalidInput, JournalError
from cogitate.core.events import Listener
from cogitate.core.flow import Flow
from cogitate.core.task import Task
from cogitate.core.usage import ZERO, Budget
from cogitate.drive import FileJournal, Run, Stop
from cogitate.drive import replay as drive_from

from .configuration import Configuration, load
from .keeping import CacheLike
from .many import AT_MOST, Many, Tally
from .models import ModelLike, Models, named
from .own import Function, functions_of, given
from .planning import Choice, Plan, check_budget
from .result import Result
from .running import carry_out, in_thread, result_of
from .spec import read
from .tasks import Asked


def plan_from_header(
    header: Mapping[str, Any],
    *,
    configuration: Configuration | None = None,
    functions: Mapping[str, Function] | None = None,
) -> Plan:
    """The run that a journal's run card describes.

    Raises:
        JournalError: where the card is no run of `solve`, or its strategy cannot be rebuilt.
    """
    try:
        task = decode(Task, header["task"])
        budget = decode(Budget, header.get("budget", {}))
        models = {str(role): str(spec) for role, spec in header["models"].items()}
        seed, text = int(header["seed"]), str(header["strategy"])
    except (KeyError, TypeError, ValueError, AttributeError, CogitateError) as error:
        raise JournalError(
            f"the journal's run card cannot be read ({type(error).__name__}: {error}); it was not "
            "written by `cogitate solve`"
        ) from error
    try:
        strategy = given(read(text), functions or {})
    except InvalidInput as error:
        raise JournalError(
            f"the journal was written with the strategy {text[:120]!r}, which is no spec that can be "
            f"read back ({error}); replay it from Python with the same strategy object"
        ) from error
    return Plan(
        Asked(task),
        Choice(strategy, str(header.get("reason", ""))),
        Models(models),
        budget,
        seed,
        configuration or Configuration(),
        dict(functions or {}),
    )


def flow_from_header(header: Mapping[str, Any]) -> Flow[Any]:
    """A fresh flow of the run that a run card describes; enough to replay its journal.

    Raises:
        JournalError: where the card does not say enough.
    """
    if header.get("run") == "solve_many":
        return _many(header).flow(lambda number, plan, ranking: None)
    return plan_from_header(header).flow()


def _many(header: Mapping[str, Any]) -> Many:
    listed = header.get("tasks")
    if listed is None:
        raise JournalError(
            "the journal's run card does not hold its tasks, because they were not given as a list; "
            "run solve_many again with the same tasks and this journal"
        )
    tasks = [decode(Task, raw) for raw in listed]
    return Many(
        tasks,
        header.get("strategy"),
        header.get("scorer"),
        None,
        Models(header["models"]),
        decode(Budget, header.get("budget", {})),
        int(header["seed"]),
        int(header.get("at_most", AT_MOST)),
        Configuration(),
    )


def replay(path: str | Path, *, listen: Listener | None = None) -> Result:
    """Run a journal of `solve` again: no model, no cost, the same answer and the same usage.

    Raises:
        JournalError: for a file that is no such journal, or that ends before its answer.
        ReplayMismatch: where the code has changed since.
    """
    with FileJournal.open(path, read_only=True) as book:
        plan = plan_from_header(book.header)
        run = drive_from(plan.flow(), book, budget=plan.budget, listen=listen)
        return result_of(plan, run, Path(path))


def replay_many(path: str | Path, *, listen: Listener | None = None) -> list[Result]:
    """Run a journal of `solve_many` again; the results in the order of the tasks.

    Raises:
        JournalError: for a file that is no such journal, or that ends before its answers.
    """
    with FileJournal.open(path, read_only=True) as book:
        many = _many(book.header)
        tally, found = Tally(listen), list[Result]()

        def deliver(number: int, plan: Plan, ranking: Ranking[Artifact]) -> None:
            roles, spent = tally.take(str(number), book)
            run = Run(ranking, sum(roles.values(), ZERO), roles, spent=spent)
            found.append(result_of(plan, run, Path(path)))

        drive_from(many.flow(deliver), book, budget=many.budget, listen=tally)
        return found


def resume(
    path: str | Path,
    *,
    model: ModelLike | None = None,
    budget: Budget | None = None,
    functions: Mapping[str, Function] | None = None,
    listen: Listener | None = None,
    stop: Stop | None = None,
    configuration: Configuration | None = None,
    from_mismatch: bool = False,
    cache: CacheLike = None,
) -> Result:
    """Go on with an unfinished run of `solve` from its journal alone; what it holds is not paid again.

    Args:
        path: the journal.
        model: by default what the journal names; give it again where it was an object.
        budget: by default the journal's; a larger one asks again what was refused.
        functions: the callers' functions that the strategy names.
        listen: hears every event.
        stop: a handle that ends the run.
        configuration: by default read from the file and the environment.
        from_mismatch: keep what matches where prompts or code have changed; the rest comes from the cache
            where it has it.
        cache: as for `solve`.

    Raises:
        JournalError: for a file that is no such journal.
        InvalidInput: where the strategy names a function that is not given.
        ReplayMismatch: where prompts or code have changed since.
    """
    with FileJournal.open(path, read_only=True) as book:
        header = book.header
    held = configuration or load()
    plan = plan_from_header(header, configuration=held, functions=functions)
    plan = replace(plan, functions=functions_of([plan.strategy]))
    if model is not None:
        plan = replace(plan, models=named(model, held))
    if budget is not None:
        plan = replace(plan, budget=check_budget(budget))
    end = stop or Stop()
    return in_thread(
        lambda: carry_out(
            plan,
            journal=path,
            listen=listen,
            stop=end,
            from_mismatch=from_mismatch,
            cache=cache,
        ),
        end,
    )
