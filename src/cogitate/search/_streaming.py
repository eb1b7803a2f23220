"""What a search may say of its answer before it is done."""

from __future__ import annotations

from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from cogitate.core.flow import settled

P = TypeVar("P")


def as_final(process: P) -> P | None:
    """The process with its generations marked as the answer itself; `None` where it knows no such mark."""
    if not is_dataclass(process) or isinstance(process, type):
        return None
    if not any(field.name == "final" for field in fields(process)):
        return None
    return cast(P, replace(cast(Any, process), final=True))


async def settle(state: object) -> None:
    """Publish the text of a state from which all that is left goes on; nothing where it is no text."""
    text = getattr(state, "text", None)
    if isinstance(text, str) and text:
        await settled(text)
