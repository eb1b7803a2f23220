"""The processes that a spec may name."""

from __future__ import annotations

from typing import Any, Final

from cogitate.assembly import factory
from cogitate.assembly.factory import Factory

from .parts import count, preset_of, sampling_of


@factory.process
def answer(
    kind: str,
    temperature: float = 0.7,
    top_p: float = 0.95,
    max_tokens: int = 1024,
    preset: str = "",
    constrained: bool = False,
) -> Any:
    """The whole answer in one request.

    `preset` names worked examples, such as "word_problems"; `constrained` enforces the schema of a
    `json` task while decoding, and needs a model that can.
    """
    from cogitate.processes import Answer

    return Answer(
        sampling=sampling_of(temperature, top_p),
        max_tokens=count(max_tokens, "max_tokens"),
        constrained=constrained,
        **preset_of(preset),
    )


@factory.process
def reasoning(
    kind: str,
    separator: str | tuple[str, ...] = "\n\n",
    max_steps: int = 32,
    max_step_tokens: int = 256,
    temperature: float = 0.7,
    top_p: float = 0.95,
    preset: str = "",
) -> Any:
    """Steps that a search can branch at; a step ends at a separator."""
    from cogitate.processes import Boundaries, Reasoning

    separators = (separator,) if isinstance(separator, str) else separator
    return Reasoning(
        boundaries=Boundaries(separators, max_steps, max_step_tokens),
        sampling=sampling_of(temperature, top_p),
        **preset_of(preset),
    )


FACTORIES: Final[tuple[Factory[...], ...]] = (answer, reasoning)
