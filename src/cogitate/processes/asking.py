"""How a task becomes a prompt: instruction, worked examples, material, conversation."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from cogitate.core.errors import InvalidInput
from cogitate.core.prompt import Prompt
from cogitate.core.task import Message, Task
from cogitate.core.templates import digests

from ._files import fill
from .presets import PRESETS, Examples

Style = Literal["answer", "steps"]
"""Which family of instructions: one shot, or steps with boundaries."""


def instruction_for(task: Task, style: Style) -> str:
    """The instruction for the task's kind of answer, from its prompt file."""
    match task.kind:
        case "choice":
            return fill(
                f"{style}/choice", options=", ".join(task.options) or "those in the question"
            )
        case "json" if task.schema:
            return fill(f"{style}/json_schema", schema=task.schema)
        case "code" if task.checks:
            return fill(f"{style}/code_checks", checks="\n".join(task.checks))
        case kind:
            return fill(f"{style}/{kind}")


def prompt_of(
    task: Task, style: Style = "answer", instruction: str | None = None, examples: Examples = ()
) -> Prompt:
    """The prompt that asks a task; the conversation keeps its turns.

    The instruction is the system message, before the task's own if it has one. Context stands before
    the first question, so that questions on the same material share a prefix. A conversation that ends
    with the assistant is continued word for word. To a conversation whose caller wants it bare, or with
    tools, nothing is added.

    >>> prompt = prompt_of(Task.of("2 + 2?", kind="number"), examples=(("1 + 1?", "#### 2"),))
    >>> [message.role for message in prompt.messages]
    ['system', 'user', 'assistant', 'user']

    Args:
        task: what is asked.
        style: the family of instructions.
        instruction: takes the place of the prompt file's; empty for none at all.
        examples: worked examples, shown as turns.

    Raises:
        InvalidInput: where the task has a context, and its manner wants nothing added.
    """
    if task.manner is not None and task.manner.untouched:
        return _untouched(task)
    told = instruction_for(task, style) if instruction is None else instruction
    turns = list(task.messages)
    if turns[0].role == "system":
        given = turns.pop(0)
        content = fill("system", instruction=told, given=given.content) if told else given.content
        system = [replace(given, content=content)]
    else:
        system = [Message("system", told)] if told else []
    shown = [
        Message(role, text)
        for pair in examples
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    begun = turns.pop().content if len(turns) > 1 and turns[-1].role == "assistant" else ""
    messages = [*system, *shown, *_with_context(task, turns)]
    prompt = Prompt.chat(*messages)
    return prompt.then(begun) if begun else prompt


def _untouched(task: Task) -> Prompt:
    if task.context:
        field = "bare" if task.manner is not None and task.manner.bare else "tools"
        raise InvalidInput(
            f"the manner of the task has {field}, so that nothing may be added to its messages, but it has a "
            "context; put the context into a message"
        )
    return Prompt.chat(*task.messages)


def _with_context(task: Task, turns: Sequence[Message]) -> list[Message]:
    if not task.context:
        return list(turns)
    first = next((at for at, turn in enumerate(turns) if turn.role == "user"), None)
    if first is None:
        return [Message("user", task.context), *turns]
    asked = turns[first]
    content = fill("context", context=task.context, question=asked.content)
    return [*turns[:first], replace(asked, content=content), *turns[first + 1 :]]


def split_steps(text: str, separators: Sequence[str]) -> tuple[str, ...]:
    r"""The text in pieces that each end with a separator; joined, they are the text.

    >>> split_steps("a\n\nb", ("\n\n",))
    ('a\n\n', 'b')
    """
    found: list[str] = []
    at = 0
    while at < len(text):
        ends = [end + len(s) for s in separators if (end := text.find(s, at)) >= 0]
        end = min(ends, default=len(text))
        if found and not text[at:end].strip():
            found[-1] += text[at:end]
        else:
            found.append(text[at:end])
        at = end
    return tuple(found)


def prompt_files() -> dict[str, str]:
    """Every prompt file and preset of this room with its SHA-256; the run card lists them."""
    presets = {
        f"presets/{name}": hashlib.sha256(repr(preset).encode()).hexdigest()
        for name, preset in PRESETS.items()
    }
    return dict(sorted({**digests("processes"), **presets}.items()))
