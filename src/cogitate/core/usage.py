"""What was spent and what may be spent: vectors with named units."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from .errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Usage:
    """What serving a request cost, or the most it can cost.

    Unknown is `None`, never zero; a sum with an unknown part is unknown.

    >>> Usage(tokens_out=3, calls=1) + Usage(tokens_out=4, usd=None)
    Usage(tokens_in=0, tokens_cached=0, tokens_out=7, tokens_reasoning=0, calls=1, seconds=0.0, flops=0.0, bytes_moved=0.0, usd=None, estimated=False)
    """

    tokens_in: int = 0
    """Prompt tokens, the cached ones included."""
    tokens_cached: int = 0
    """Prompt tokens that the engine found in its cache; part of `tokens_in`."""
    tokens_out: int = 0
    """Generated tokens, the reasoning ones included."""
    tokens_reasoning: int = 0
    """Generated tokens that the server files as hidden reasoning; part of `tokens_out`."""
    calls: int = 0
    """Requests served; each sibling of a coalesced request counts."""
    seconds: float = 0.0
    """Engine time, summed over concurrent requests (not wall-clock)."""
    flops: float | None = 0.0
    bytes_moved: float | None = 0.0
    usd: float | None = 0.0
    estimated: bool = False
    """Whether some part is an estimate, because a call was cut or the server did not say."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.tokens_in + other.tokens_in,
            self.tokens_cached + other.tokens_cached,
            self.tokens_out + other.tokens_out,
            self.tokens_reasoning + other.tokens_reasoning,
            self.calls + other.calls,
            self.seconds + other.seconds,
            None if self.flops is None or other.flops is None else self.flops + other.flops,
            None
            if self.bytes_moved is None or other.bytes_moved is None
            else self.bytes_moved + other.bytes_moved,
            None if self.usd is None or other.usd is None else self.usd + other.usd,
            self.estimated or other.estimated,
        )

    def as_dict(self) -> dict[str, int | float | bool | None]:
        """The non-zero units, for JSON."""
        return {
            f.name: value for f in fields(self) if (value := getattr(self, f.name)) is None or value
        }


ZERO = Usage()

UNITS = ("tokens_in", "tokens_out", "calls", "seconds", "flops", "bytes_moved", "usd")
"""The units a grant may bound, in the order in which a refusal names them."""


@dataclass(frozen=True, slots=True)
class Budget:
    """A grant: at most so much of each unit; `None` leaves a unit unbounded.

    Raises:
        InvalidInput: for a negative or non-finite amount.

    >>> Budget(tokens_out=4096, seconds=60)
    Budget(tokens_out=4096, seconds=60)
    """

    tokens_in: int | None = None
    tokens_out: int | None = None
    """Output tokens of all roles."""
    calls: int | None = None
    seconds: float | None = None
    """Wall-clock from the start of the run; a deadline, not a reservation."""
    flops: float | None = None
    bytes_moved: float | None = None
    usd: float | None = None

    def __post_init__(self) -> None:
        for unit, amount in self.bounds():
            if not math.isfinite(amount) or amount < 0:
                raise InvalidInput(
                    f"a budget of {amount} {unit} was asked for; it must be a number of at least 0"
                )

    def bounds(self) -> list[tuple[str, float]]:
        """The bounded units with their amounts."""
        return [(unit, amount) for unit in UNITS if (amount := getattr(self, unit)) is not None]

    def __repr__(self) -> str:
        return f"Budget({', '.join(f'{unit}={amount!r}' for unit, amount in self.bounds())})"
