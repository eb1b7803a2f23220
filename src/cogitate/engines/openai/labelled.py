"""Process reward models that are language models: each step by the labels of the next token."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from cogitate.core.errors import Failed
from cogitate.core.requests import Likelihood, Loglikelihood, Reply
from cogitate.core.usage import ZERO

from . import faults, replies
from .formats import Format
from .likelihoods import Scorer


async def labelled(
    scorer: Scorer, format: Format, question: str, steps: Sequence[str]
) -> Reply[tuple[float, ...]]:
    """The share of the good label after each step; one call a step, whose prompts share their beginnings.

    Raises:
        Failed: where one of the calls failed; with what the others had cost.
    """
    labels = format.labels
    assert labels is not None
    calls: list[asyncio.Task[Reply[tuple[Likelihood, ...]]]] = []
    try:
        async with asyncio.TaskGroup() as tasks:
            calls += [
                tasks.create_task(scorer.serve(Loglikelihood(prompt, labels, labels=True)))
                for prompt in format.prompts(question, steps)
            ]
    except BaseExceptionGroup as group:
        failed, others = group.split(Failed)
        if others is not None or failed is None:
            raise
        failure = faults.first(failed)
        made = [c.result() for c in calls if not c.cancelled() and c.exception() is None]
    else:
        answers = [call.result() for call in calls]
        good = tuple(replies.softmax([v.logprob for v in a.value])[0] for a in answers)
        usage = replace(sum((a.usage for a in answers), ZERO), calls=1)
        return Reply(good, usage, engine=scorer.fingerprint)
    # What was answered before one of them failed is paid for.
    paid = sum((answer.usage for answer in made), failure.usage or ZERO)
    raise faults.copied(failure, replace(paid, calls=1) if made else failure.usage)
