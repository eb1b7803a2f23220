"""Calls of tools as an answer: nothing here executes them."""

from __future__ import annotations

from collections.abc import Sequence

from cogitate.core.task import ToolCall
from cogitate.rules.extraction import extract
from cogitate.rules.tool_calls import spelt_calls


def answered(
    text: str, calls: Sequence[ToolCall], kind: str, complete: bool, options: Sequence[str]
) -> str | None:
    """The answer: the calls in one spelling where there are any, else what the text states.

    Calls that were cut, or whose arguments are no JSON, are no answer.
    """
    if not calls:
        return extract(text, kind, complete=complete, options=options)
    return spelt_calls([(call.name, call.arguments) for call in calls]) if complete else None
