"""How the caller wants it said, put into the requests of a process."""

from __future__ import annotations

from dataclasses import replace

from cogitate.core.codec import encode
from cogitate.core.errors import InvalidInput
from cogitate.core.requests import ANY_JSON, Completion, Generate, JsonSchema
from cogitate.core.task import Manner, Task


def enforced(task: Task) -> str:
    """The schema under which the caller wants it decoded; empty where that was not asked for."""
    wanted = task.manner is not None and task.manner.constrained
    return (task.schema or ANY_JSON) if wanted else ""


def in_manner(request: Generate, manner: Manner | None, schema: str = "") -> Generate:
    """The request of a process as the caller wants it said: what the caller left open stays the process's.

    The stop strings of the caller come beside those of the process and are withheld.

    Args:
        request: what the process would ask.
        manner: what the caller wants; `max_tokens` is the process's to see to where it asks in pieces.
        schema: the JSON schema to decode under, where the caller wants that.
    """
    if manner is None:
        return request
    given = {"temperature": manner.temperature, "top_p": manner.top_p}
    sampling = replace(
        request.sampling,
        presence_penalty=manner.presence_penalty or request.sampling.presence_penalty,
        frequency_penalty=manner.frequency_penalty or request.sampling.frequency_penalty,
        **{name: value for name, value in given.items() if value is not None},
    )
    return replace(
        request,
        sampling=sampling,
        stop=tuple(dict.fromkeys((*request.stop, *manner.stop))),
        withheld=manner.stop,
        logprobs=max(request.logprobs, manner.logprobs),
        constraint=JsonSchema(schema) if schema else request.constraint,
        tools=manner.tools,
        tool_choice=manner.tool_choice,
        parallel_calls=manner.parallel_calls,
    )


def ended(manner: Manner | None, said: Completion) -> bool:
    """Whether one of the caller's stop strings ended it."""
    return manner is not None and said.finish == "stop" and said.stopped_by in manner.stop


def without_stop(manner: Manner | None, said: Completion) -> Completion:
    """What was said before the caller's stop string, which is no part of the answer.

    The ids go with it: they would write the stop string again. What is known of each token stays for
    those that are left.
    """
    if not ended(manner, said) or not said.text.endswith(said.stopped_by):
        return said
    return replace(said, text=said.text.removesuffix(said.stopped_by), ids=())


def refuse_manner(task: Task, process: str) -> None:
    """Refuse what a process cannot honour, by name.

    Raises:
        InvalidInput: where the manner of the task says anything.
    """
    said = [] if task.manner is None else list(encode(task.manner))
    if said:
        raise InvalidInput(
            f"the task asks for {', '.join(said)}, but {process} says everything in its own manner; leave "
            "it out, or use another process, such as answer()"
        )
