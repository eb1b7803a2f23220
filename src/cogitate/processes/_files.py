"""The prompts of this room."""

from __future__ import annotations

from cogitate.core.templates import template


def fill(name: str, **values: str) -> str:
    """The prompt of this name with its placeholders filled; values are taken word for word."""
    return template("processes", name).substitute(values)
