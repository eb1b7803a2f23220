"""From a job to the flow of one of its questions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cogitate.core.protocols import ReadsLogprobs

from .asking import Answered, Asking, Purse
from .laying import Job
from .pooling import Drawing, Scoring


def asking_of(job: Job, purse: Purse, *, keeps_failures: bool) -> Asking:
    """Makes the flows of a job's questions.

    Args:
        job: what is to be done.
        purse: says when the budget of the whole run is spent.
        keeps_failures: whether a question that failures left without an answer is finished.
    """
    entry, kind = job.entry, job.benchmark.kind
    if entry.kind == "cell":
        strategy = job.what.for_kind(kind)
        return Answered(strategy, job.benchmark, entry.budget, entry.seed, purse, keeps_failures)
    process = drawn_by(job)
    if entry.kind == "pool":
        return Drawing(process, job.benchmark, job.samples, entry.seed, purse)
    scorer = job.what.for_kind(kind)
    return Scoring(process, scorer, job.benchmark, job.samples, entry.seed, purse)


def drawn_by(job: Job) -> Any:
    """The process that draws a pool's samples, with the log-probabilities that a scorer of it reads."""
    kind = job.benchmark.kind
    made = (job.process or job.what).for_kind(kind)
    scorers = [scorer.for_kind(kind) for scorer in job.readers]
    needed = max([s.logprobs for s in scorers if isinstance(s, ReadsLogprobs)], default=-1)
    return replace(made, logprobs=needed) if needed > getattr(made, "logprobs", needed) else made
