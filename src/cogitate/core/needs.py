"""What a request needs that not every engine has, and the one sentence of an engine that lacks it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Literal, get_args

from .prompt import Prompt
from .requests import Generate
from .until import unwatched

Need = Literal["attachments", "names", "penalties", "tools"]
"""Images and files; messages with the name of who says them; presence and frequency penalties; tools that may
be called, or a conversation in which some were."""
NEEDS: Final[tuple[Need, ...]] = get_args(Need)

NOTHING: Final[frozenset[Need]] = frozenset()
EVERYTHING: Final[frozenset[Need]] = frozenset(NEEDS)

_SAID: Final[dict[Need, str]] = {
    "attachments": "the question has images or files, but this engine reads text only",
    "names": "a message says the name of its speaker, but this engine knows roles only",
    "penalties": "presence_penalty or frequency_penalty was asked for, but this engine draws without them",
    "tools": "tools were asked for, or the conversation calls some, but this engine calls none",
}
_INSTEAD: Final[dict[Need, str]] = {
    "attachments": "ask a model that sees, on an OpenAI-compatible server",
    "names": "leave the names out",
    "penalties": "set both to 0",
    "tools": "leave them out, or ask a model on an OpenAI-compatible server",
}


def lacking(request: Generate, served: Collection[Need] = NOTHING) -> str:
    """Why an engine that serves these needs and no other must refuse a request; empty where it need not.

    It refuses with this sentence, as `unsupported`. Predicates on tokens that the request does not ask for are
    refused by every engine.

    >>> lacking(Generate(Prompt.raw("?"), seed=0))
    ''
    >>> lacking(Generate(Prompt.raw("?"), seed=0, tools=("{}",)))[:20]
    'tools were asked for'
    """
    for need in needs(request):
        if need not in served:
            return f"{_SAID[need]}; {_INSTEAD[need]}"
    return unwatched(request.until, request.logprobs)


def needs(request: Generate) -> list[Need]:
    """What of `NEEDS` a request needs, in their order."""
    drawn = request.sampling
    found = list[Need]() if request.prompt.plain else _of_messages(request.prompt)
    if drawn.presence_penalty or drawn.frequency_penalty:
        found.append("penalties")
    if request.tools:
        found.append("tools")
    return [need for need in NEEDS if need in found] if found else found


def _of_messages(prompt: Prompt) -> list[Need]:
    found: list[Need] = []
    for message in prompt.messages:
        if message.attachments:
            found.append("attachments")
        if message.name:
            found.append("names")
        if message.calls or message.call_id:
            found.append("tools")
    return found
