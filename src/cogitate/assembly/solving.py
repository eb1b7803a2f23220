"""The front door: one question, or many, within a budget."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cogitate.core.events import Listener
from cogitate.core.task import Task
from cogitate.core.usage import Budget
from cogitate.drive import Stop

from .configuration import Configuration, load
from .keeping import CacheLike
from .models import ModelLike
from .own import Function
from .planning import Chosen, plan
from .result import Result
from .running import carry_out, in_thread


def solve(
    question: str | Task,
    *,
    model: ModelLike | None = None,
    strategy: str | Chosen | None = None,
    budget: Budget | None = None,
    kind: str | type | None = None,
    seed: int = 0,
    scorer: str | Any | None = None,
    journal: str | Path | None = None,
    listen: Listener | None = None,
    stop: Stop | None = None,
    functions: Mapping[str, Function] | None = None,
    configuration: Configuration | None = None,
    from_mismatch: bool = False,
    cache: CacheLike = None,
) -> Result:
    """Answer one question as well as the budget can buy, and say what it cost.

    Drives in a thread of its own, so it works in scripts and inside a running event loop. An interrupt
    (Ctrl-C, the notebook's stop button) returns the best so far, with `stopped == "interrupted"`.

    >>> solve("What is 2 + 2?", model='fake(answers=["4"])', strategy="self_consistency(n=3)").answer
    '4'

    Args:
        question: text, or a `Task` with messages, context, schema, options or checks.
        model: a spec such as `smollm2`, several `ROLE=SPEC`, or `cogitate.model(function)`; by default
            what is configured, else `smollm2`.
        strategy: a spec such as `beam_search(width=4)`; by default chosen by the kind of answer.
        budget: the most that may be spent; by default what is configured, else no bound.
        kind: `math`, `number`, `choice`, `text`, `json`, `code`, or a pydantic model; by default judged
            from the question's wording, which the result's `reason` says.
        seed: equal seeds give equal requests.
        scorer: what makes an answer good, such as `judge()` or `cogitate.scorer(function)`.
        journal: a file that records the run; one that holds its beginning is gone on with.
        listen: hears every event, in the driving thread.
        stop: a handle that ends the run from another thread.
        functions: the callers' functions that specs read from text name.
        configuration: by default read from the file and the environment.
        from_mismatch: go on with a journal of changed prompts or code, keeping what matches.
        cache: by default the replies of servers and local models are kept for later runs: the same
            question with the same seed gives the same answer and costs nothing, more samples pay only
            for the new ones, and another seed asks anew. `False` asks everything again; `True` or a
            directory keeps the replies of every model.

    Raises:
        InvalidInput: for what cannot be done; said before anything is spent.
        CogitateError: for a journal of another run and the like.
    """
    settled = plan(
        question,
        model=model,
        strategy=strategy,
        budget=budget,
        kind=kind,
        seed=seed,
        scorer=scorer,
        functions=functions,
        configuration=configuration or load(),
    )
    end = stop or Stop()
    return in_thread(
        lambda: carry_out(
            settled,
            journal=journal,
            listen=listen,
            stop=end,
            from_mismatch=from_mismatch,
            cache=cache,
        ),
        end,
    )


async def solve_async(
    question: str | Task,
    *,
    model: ModelLike | None = None,
    strategy: str | Chosen | None = None,
    budget: Budget | None = None,
    kind: str | type | None = None,
    seed: int = 0,
    scorer: str | Any | None = None,
    journal: str | Path | None = None,
    listen: Listener | None = None,
    stop: Stop | None = None,
    functions: Mapping[str, Function] | None = None,
    configuration: Configuration | None = None,
    from_mismatch: bool = False,
    cache: CacheLike = None,
) -> Result:
    """`solve` for use inside an event loop; cancelling it cancels the work."""
    settled = plan(
        question,
        model=model,
        strategy=strategy,
        budget=budget,
        kind=kind,
        seed=seed,
        scorer=scorer,
        functions=functions,
        configuration=configuration or load(),
    )
    return await carry_out(
        settled,
        journal=journal,
        listen=listen,
        stop=stop,
        from_mismatch=from_mismatch,
        cache=cache,
    )
