"""From what a person asks to a `Task`: the kind of answer, its schema, its options."""

from __future__ import annotations

import importlib
import json
import re
from dataclasses import dataclass, replace
from typing import Any, Final

from cogitate.core.errors import InvalidInput
from cogitate.core.task import KINDS, Task

from .factory import nearest

_LOOKED_AT: Final = 4000
"""Characters from the end of a question in which its kind is looked for; questions stand at the end."""

_OPTION = re.compile(r"(?m)^[ \t]*\(?([A-J])[).:][ \t]+\S")
_REASONED = re.compile(
    # a dash or stroke between numbers may be a date or a range, unless spaces or "what is" say otherwise
    r"(?i)\d\s*[+*^×÷=<]\s*[\d(x-z]|\d\s+[-/]\s+\d|\bwhat(?:'s| is) [\d,.]+\s*[-/]\s*\d"
    r"|\bhow (?:many|much|old|long|far|tall)\b"
    r"|\b(?:calculate|compute|evaluate|simplify|factori[sz]e|solve for)\b"
    r"|\bfind (?:the )?(?:value|sum|product|number|area|perimeter|volume|probability|remainder)\b"
)


@dataclass(frozen=True)
class Asked:
    """A task, and why it has its kind."""

    task: Task
    reason: str = ""
    """One sentence where the kind was not said by the caller."""
    shape: Any = None
    """The pydantic model of the answer, where `kind` was one."""

    def parse(self, answer: str | None) -> Any:
        """The answer as the pydantic model; `None` where there is none or it does not fit."""
        if self.shape is None or answer is None:
            return None
        try:
            return self.shape.model_validate_json(answer)
        except ValueError:  # pydantic's own error is one
            return None


def asked(question: str | Task, kind: str | type | None = None) -> Asked:
    """The task that a question means.

    >>> asked("What is 12 * 7?").task.kind
    'math'
    >>> asked("Why is the sky blue?").task.kind
    'text'

    Args:
        question: text, or a task, whose kind then stands unless another is given.
        kind: one of `KINDS`, a pydantic model, or `None`: judged from the wording, and said so.

    Raises:
        InvalidInput: for an empty question or an unknown kind.
    """
    if isinstance(kind, type):
        schema = _schema(kind)
        given = question if isinstance(question, Task) else Task.of(question)
        return Asked(replace(given, kind="json", schema=schema), "", kind)
    if kind is not None and kind not in KINDS:
        raise InvalidInput(f"there is no answer kind {kind!r}{nearest(kind, KINDS)}")
    if isinstance(question, Task):
        return Asked(question if kind is None else replace(question, kind=kind))
    if not isinstance(question, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidInput(f"a question is text or a Task, not a {type(question).__name__}")
    options = _options(question)
    if kind is not None:
        return Asked(Task.of(question, kind=kind, options=options if kind == "choice" else ()))
    if options:
        return Asked(
            Task.of(question, kind="choice", options=options),
            "the question lists lettered options, so the answer is taken as a choice",
        )
    if _reasoned(question[-_LOOKED_AT:]):
        return Asked(
            Task.of(question, kind="math"),
            "the question reads like a calculation, so the answer is taken as math",
        )
    return Asked(Task.of(question), "no answer kind was given, so the answer is taken as free text")


def _reasoned(text: str) -> bool:
    return any(c.isdigit() for c in text) and _REASONED.search(text) is not None


def _options(question: str) -> tuple[str, ...]:
    """The letters A, B… where at least two are listed in order, each on its own line."""
    found = _OPTION.findall(question[-_LOOKED_AT:])
    labels = tuple("ABCDEFGHIJ"[: len(found)])
    return labels if len(found) >= 2 and tuple(found) == labels else ()


def _schema(shape: type) -> str:
    try:
        model: Any = importlib.import_module("pydantic").BaseModel
    except ImportError:
        raise InvalidInput(
            f"the answer kind {shape.__name__} is a class; install pydantic to use one, or name a kind: {', '.join(KINDS)}"
        ) from None
    if not issubclass(shape, model):
        raise InvalidInput(
            f"the answer kind {shape.__name__} is a class that is no pydantic model; give a BaseModel"
        )
    described: Any = shape
    return json.dumps(described.model_json_schema(), sort_keys=True)
