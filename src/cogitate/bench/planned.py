"""What a grid would do, before it does it: cells, what is there already, and the most calls it can make."""

from __future__ import annotations

from typing import Any, cast

from cogitate.core.codec import encode
from cogitate.core.protocols import Costly
from cogitate.processes import Answer
from cogitate.search import BestOf, SelfConsistency, Solve

from .folder import Folder
from .laying import Job, Laid


def planned(laid: Laid, there: Folder | None) -> list[dict[str, Any]]:
    """One row a cell, as JSON values; `calls` is `None` where no bound is known."""
    return [_row(job, there) for job in laid.jobs]


def _row(job: Job, there: Folder | None) -> dict[str, Any]:
    entry = job.entry
    done = min(there.done(entry), entry.rows) if there is not None else 0
    each = calls_of(job)
    return {
        "kind": entry.kind,
        "task": entry.task,
        "model": entry.model,
        "spec": entry.spec,
        "line": entry.line,
        "n": entry.n,
        "seed": entry.seed,
        "budget": encode(entry.budget),
        "questions": entry.rows,
        "done": done,
        "calls": None if each is None else each * (entry.rows - done),
    }


def calls_of(job: Job) -> int | None:
    """The most calls of a question, as if nothing were remembered; `None` where it is not known."""
    kind, bounds = job.benchmark.kind, dict(job.entry.budget.bounds())
    if job.entry.kind == "pool":
        return job.samples if isinstance(job.what.for_kind(kind), Answer) else None
    if job.entry.kind == "scores":
        return _asked(job.what.for_kind(kind), job.samples)
    known = _of_strategy(job.what.for_kind(kind))
    if "calls" not in bounds:
        return known
    return int(bounds["calls"]) if known is None else min(known, int(bounds["calls"]))


def _of_strategy(strategy: Any) -> int | None:
    if not isinstance(strategy, Solve):
        return None
    made = cast("Solve[Any]", strategy)
    search: Any = made.search
    if not isinstance(made.process, Answer) or not isinstance(search, BestOf | SelfConsistency):
        return None
    n = search.n
    costs = [_asked(scorer, n) for scorer in (made.scorer, made.final) if scorer is not None]
    return None if None in costs else n + sum(cost for cost in costs if cost is not None)


def _asked(scorer: Any, states: int) -> int | None:
    """What a scorer asks about so many states."""
    if not isinstance(scorer, Costly):
        return 0
    grant = scorer.reserve(states)
    return 0 if grant is None else grant.calls
