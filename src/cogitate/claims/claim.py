"""What a paper says, checked: a claim with what was expected, what was seen and how it came out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, Literal, get_args

from cogitate.core.errors import InvalidInput

Side = Literal["inference", "training"]
Kind = Literal["exact", "statistical", "performance"]
Outcome = Literal["holds", "does_not_hold", "regressed", "planned"]
OUTCOMES: Final = get_args(Outcome)

NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@dataclass(frozen=True)
class Setting:
    """What a check is run with."""

    quick: bool = True
    """The size for continuous integration; claims are recorded from the full size."""
    preset: str = ""
    """Name of the world's preset, for statistical claims."""
    changes: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """Parameters of the preset that differ, where its region is explored."""

    def size(self, full: int, quick: int) -> int:
        """The number that fits the effort."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Observed:
    """What a check saw."""

    holds: bool
    text: str
    """One sentence with the numbers."""
    interval: tuple[float, float] | None = None
    """The interval of the quantity that decides, at 95 % unless the text says otherwise."""
    n: int = 0
    """Problems or draws behind the number."""
    seeds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Claim:
    """One claim and how it came out."""

    name: str
    side: Side
    kind: Kind
    items: tuple[int, ...]
    """The points of the sheet's small-scale reproduction that it covers."""
    expected: str
    observed: str
    outcome: Outcome
    reason: str = ""
    """Our reading, where it does not hold; what is missing, where it is planned."""
    interval: tuple[float, float] | None = None
    n: int = 0
    seeds: tuple[int, ...] = ()
    preset: str = ""
    null: str = ""
    """The preset in which it must fail."""
    rejects: str = ""
    """The null hypothesis that it rejects."""
    region: tuple[tuple[str, bool], ...] = ()
    """Where the preset's parameters were moved, and whether it held there."""

    def as_json(self) -> dict[str, Any]:
        """The public JSON form; what does not apply is left out."""
        said: dict[str, Any] = {
            "name": self.name,
            "side": self.side,
            "kind": self.kind,
            "expected": self.expected,
            "observed": self.observed,
            "outcome": self.outcome,
            "reason": self.reason,
            "items": list(self.items),
        }
        extra: dict[str, Any] = {
            "interval": list(self.interval) if self.interval else None,
            "n": self.n,
            "seeds": list(self.seeds),
            "preset": self.preset,
            "null": self.null,
            "rejects": self.rejects,
            "region": dict(self.region),
        }
        return said | {name: value for name, value in extra.items() if value}


Run = Callable[[Setting], Observed]


@dataclass(frozen=True)
class Check:
    """How a claim is checked.

    A statistical one is run twice: in its preset, where it must hold, and in a null preset, where it
    must fail; one that holds in both says nothing about its mechanism.
    """

    name: str
    kind: Kind
    items: tuple[int, ...]
    expected: str
    side: Side = "inference"
    run: Run | None = None
    """`None` where it is only named: planned."""
    reason: str = ""
    preset: str = ""
    null: str = ""
    rejects: str = ""
    region: tuple[Mapping[str, Any], ...] = ()

    def __post_init__(self) -> None:
        if self.run is not None and self.kind == "statistical":
            lacks = [n for n in ("preset", "null", "rejects") if not getattr(self, n)]
            if lacks:
                raise InvalidInput(
                    f"the statistical claim {self.name!r} names no {' and no '.join(lacks)}; it needs "
                    "a preset, a null preset in which it fails, and the hypothesis that it rejects"
                )
        if self.run is None and not self.reason:
            raise InvalidInput(f"the planned claim {self.name!r} does not say what is missing")
        if not self.items:
            raise InvalidInput(f"the claim {self.name!r} names no point of its sheet")


def exact(
    name: str, expected: str, *, items: tuple[int, ...], side: Side = "inference"
) -> Callable[[Run], Check]:
    """A reduction or an invariant: it holds in every case, or it is broken."""

    def made(run: Run) -> Check:
        return Check(name, "exact", items, expected, side, run)

    return made


def statistical(
    name: str, expected: str, *, items: tuple[int, ...], preset: str, null: str, rejects: str,
    region: tuple[Mapping[str, Any], ...] = (), side: Side = "inference",
) -> Callable[[Run], Check]:  # fmt: skip
    """A comparison with an interval, on a named preset, that must fail on the null preset."""

    def made(run: Run) -> Check:
        return Check(
            name, "statistical", items, expected, side, run,
            preset=preset, null=null, rejects=rejects, region=region,
        )  # fmt: skip

    return made


def performance(
    name: str, expected: str, *, items: tuple[int, ...], side: Side = "inference"
) -> Callable[[Run], Check]:
    """A ratio measured in one run against a named baseline."""

    def made(run: Run) -> Check:
        return Check(name, "performance", items, expected, side, run)

    return made


def planned(
    name: str, expected: str, reason: str, *, items: tuple[int, ...], side: Side = "inference",
    kind: Kind = "statistical",
) -> Check:  # fmt: skip
    """Named, not built; `reason` says what it waits for."""
    return Check(name, kind, items, expected, side, None, reason)


@dataclass(frozen=True)
class Fault:
    """A patch in the paper's own mechanism that must turn its claims red."""

    file: str
    """Below the package's folder, and not a claim's own file."""
    was: str
    """Text that occurs there exactly once."""
    now: str
    breaks: tuple[str, ...]
    """Names of claims that must come out `regressed`."""

    def __post_init__(self) -> None:
        if self.file.startswith(("claims/", "/")) or ".." in self.file:
            raise InvalidInput(f"a fault in {self.file} was given; it must lie outside claims/")
        if not self.breaks or self.was == self.now:
            raise InvalidInput(f"the fault in {self.file} changes nothing or breaks nothing")
