"""What the factories of several topics share: counts, samplings, presets, checked."""

from __future__ import annotations

from typing import Any, Final

from cogitate.assembly.factory import nearest
from cogitate.core.errors import InvalidInput

MOST: Final = 100_000
"""The most samples that a spec may ask for; a slip of the finger should not fill the memory."""


def sampling_of(temperature: float, top_p: float) -> Any:
    """How tokens are drawn, checked."""
    from cogitate.core.requests import Sampling

    if not 0 <= temperature <= 5 or not 0 < top_p <= 1:
        raise InvalidInput(
            f"temperature={temperature:g} and top_p={top_p:g} were asked for; they lie between 0 and "
            "5, and above 0 up to 1"
        )
    return Sampling(temperature=temperature, top_p=top_p)


def preset_of(name: str) -> dict[str, Any]:
    """The instruction and the worked examples of a preset; empty for no name."""
    from cogitate.processes import PRESETS

    if not name:
        return {}
    if name not in PRESETS:
        raise InvalidInput(f"there is no preset {name!r}{nearest(name, PRESETS)}")
    return {"instruction": PRESETS[name].instruction, "examples": PRESETS[name].examples}


def criteria_of(criteria: str) -> dict[str, Any]:
    """The criteria of a judge, where some were given."""
    return {"criteria": criteria} if criteria else {}


def count(value: int, name: str) -> int:
    """A count in its bounds."""
    if not 1 <= value <= MOST:
        raise InvalidInput(f"{name}={value} was asked for; it lies between 1 and {MOST}")
    return value


def counted(value: Any, name: str) -> Any:
    """A count in its bounds, or a schedule, which is clipped to them where it is used."""
    return count(value, name) if isinstance(value, int) else value
