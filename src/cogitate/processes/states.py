"""States back from a journal or a blob."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

from cogitate.core.codec import decoder
from cogitate.core.prompt import Prompt

S = TypeVar("S")

_PROMPTS = (Prompt, Prompt | None)


def restore(kind: type[S], raw: Mapping[str, Any], prompts: Mapping[str, Prompt]) -> S:
    """The state that `core.codec.encode` turned into `raw`; its prompts are found by digest.

    Raises:
        KeyError: for a prompt that is not among them.

    >>> from cogitate.core.codec import encode
    >>> from cogitate.processes import Chain
    >>> asked = Prompt.raw("2 + 2?")
    >>> state = Chain(asked, "number")
    >>> restore(Chain, encode(state), {asked.digest: asked}) == state
    True
    """
    hints = typing.get_type_hints(kind)
    known = [f.name for f in fields(kind)]  # pyright: ignore[reportArgumentType]
    values = {
        name: prompts[raw[name]] if hints[name] in _PROMPTS else decoder(hints[name])(raw[name])
        for name in known
        if raw.get(name) is not None
    }
    return kind(**values)
