"""What scorers that ask a model share: dead calls, questions as text, safe prompts, forms."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Hashable, Sequence
from string import Template
from typing import TypeVar

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import Failed, OutOfBudget
from cogitate.core.flow import Flow, gather
from cogitate.core.requests import Completion
from cogitate.core.task import Task
from cogitate.core.templates import template

T = TypeVar("T")

_CONTROL = re.compile(r"<\||\|>|<(/?)(s|think|start_of_turn|end_of_turn|bos|eos)>|\[(/?)INST\]")
"""Spellings of chat templates' control tokens, which a tokeniser might read as such."""


async def heard(flow: Flow[Score | Unscored]) -> Score | Unscored:
    """The outcome of a flow that asks; a dead or refused call is `Unscored`."""
    try:
        return await flow
    except (Failed, OutOfBudget) as error:
        return Unscored.because(error)


async def each_once(
    artifacts: Sequence[Artifact],
    key: Callable[[Artifact], Hashable],
    ask: Callable[[Artifact], Flow[Score | Unscored]],
) -> list[Score | Unscored]:
    """Score artifacts one by one, all at once; equal ones are asked about once."""
    kinds = {key(artifact): artifact for artifact in reversed(artifacts)}
    unique = list(dict.fromkeys(key(artifact) for artifact in artifacts))
    found = await gather(*(heard(ask(kinds[k])) for k in unique))
    outcome = dict(zip(unique, found, strict=True))
    return [outcome[key(artifact)] for artifact in artifacts]


def question_of(task: Task) -> str:
    """The task as text for a judge: its context and its messages."""
    turns = [m for m in task.messages if m.content.strip()]
    if len(turns) == 1:
        text = turns[0].content
    else:
        text = "\n\n".join(f"{m.role}: {m.content}" for m in turns)
    return f"{task.context}\n\n{text}" if task.context else text


def quoted(text: str) -> str:
    """Foreign text as it may stand in a prompt: control tokens are split so that none survives."""
    return _CONTROL.sub(lambda found: found[0][0] + " " + found[0][1:], text)


def mark_for(*texts: str) -> str:
    """A word for marker lines that occurs in none of the texts, and that no text can foresee."""
    digest = hashlib.blake2b(digest_size=8)
    for text in texts:
        digest.update(hashlib.blake2b(text.encode("utf-8", "surrogatepass")).digest())
    mark = digest.hexdigest()
    while any(mark in text for text in texts):
        mark = hashlib.blake2b(mark.encode(), digest_size=8).hexdigest()
    return mark


def prompt_file(name: str) -> Template:
    """A prompt of this room, read when it is first needed."""
    return template("scorers", name)


def whole_lines(reply: Completion) -> list[str]:
    """The lines of a reply; a last line that a limit cut may be half a form, and is left out."""
    lines = reply.text.splitlines()
    if reply.finish == "limit" and lines and not reply.text.endswith(("\n", "\r")):
        lines.pop()
    return lines


def last_match(reply: Completion, form: re.Pattern[str]) -> re.Match[str] | None:
    """The last line that has the form; what a judge quotes before its verdict does not count."""
    return next((m for line in reversed(whole_lines(reply)) if (m := form.fullmatch(line))), None)
