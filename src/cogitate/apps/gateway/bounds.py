"""How much a strategy asks for side by side: one word of a request must not fill the memory of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .refusals import invalid

if TYPE_CHECKING:
    from cogitate.assembly import Assembled

_WIDE: Final = ("n", "width", "branch", "k", "population", "trees", "chains", "samples")
"""Arguments that say how many there are at once; they multiply where one is inside another."""


def side_by_side(strategy: Assembled) -> int:
    """About how many samples a strategy may ask for at once, those of its scorers included.

    >>> from cogitate.assembly import read
    >>> side_by_side(read("vote(best_of(n=50, scorer=judge(samples=2)), n=3)")), side_by_side(read("greedy()"))
    (300, 1)
    """
    found = 1
    for part in strategy.parts():
        for name in _WIDE:
            if name in part.factory.parameters:
                found *= _widest(part.argument(name))
    return found


def check_parts_of(strategy: Any, param: str, most: int) -> None:
    """Refuse a strategy that asks for too much at once, or for a function of the caller's, who has none here.

    Raises:
        Refused: naming the field.
    """
    if any(part.name == "function" for part in strategy.parts()):
        raise invalid(f"{param} names a function, and a server runs none of its clients'", param)
    wide = side_by_side(strategy)
    if wide > most:
        raise invalid(
            f"{param} asks for about {wide:,} samples side by side, and a request may have {most:,}; ask for "
            "fewer",
            param,
            "above_limit",
        )


def _widest(value: Any) -> int:
    if isinstance(value, int | float):
        return max(1, int(value))
    parameters = getattr(getattr(value, "factory", None), "parameters", ())  # a schedule
    return max((_widest(value.argument(name)) for name in parameters), default=1)
