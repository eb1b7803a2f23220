"""What questions cost, by unit and by role; unknown is None, an estimate says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Final, cast

from cogitate.core.errors import InvalidInput
from cogitate.core.usage import ZERO, Usage
from cogitate.rules.chance import resampled_means
from cogitate.rules.statistics import expanded_tail, quantile

from .values import CONFIDENCE, Amount

COST_UNITS: Final = (
    "tokens",
    "tokens_out",
    "tokens_in",
    "calls",
    "flops",
    "bytes_moved",
    "kv_bytes",
    "usd",
)
"""Units of cost; `tokens` are prompt and generated tokens together. Wall-clock is not among them: it is of the
machine, and lies in `Timing`."""

DRAWS: Final = 2000
"""Resamples of a bootstrap."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What is known of the models behind the roles, for estimates where the engines did not say."""

    parameters: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Role to (active) parameters: FLOPs are estimated as 2 x parameters x tokens that were not cached."""
    kv_bytes: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Role to bytes of KV cache a token: KV bytes are estimated as that x tokens, prompts of siblings each counted."""

    def __post_init__(self) -> None:
        for name, held in (("parameters", self.parameters), ("kv_bytes", self.kv_bytes)):
            for role, amount in held.items():
                if not amount > 0:
                    raise InvalidInput(
                        f"{amount} {name} of the role {role!r} were given; give more than 0, or leave it out"
                    )


NOTHING_KNOWN: Final = Shape()


@dataclass(frozen=True, slots=True)
class Cost:
    """What one question cost in each unit; `None` where it is unknown."""

    units: Mapping[str, float | None]
    estimated: frozenset[str]
    """Units that hold an estimate."""


def cost_of(usage: Mapping[str, Usage], shape: Shape = NOTHING_KNOWN) -> Cost:
    """The cost of one question, from what was charged to its roles.

    A role that spent tokens and reports 0 FLOPs did not measure them: they are unknown, or estimated.

    >>> found = cost_of({"policy": Usage(tokens_out=10, calls=1)}, Shape({"policy": 1e9}))
    >>> found.units["tokens_out"], found.units["flops"], sorted(found.estimated), found.units["kv_bytes"]
    (10, 20000000000.0, ['flops'], None)
    """
    estimated: set[str] = set()
    flops: float | None = 0.0
    kv: float | None = 0.0
    moved: float | None = 0.0
    for role, spent in usage.items():
        if spent.estimated:
            estimated |= {"tokens", "tokens_in", "tokens_out"}
        tokens = spent.tokens_in + spent.tokens_out
        if not tokens:
            flops, moved = _plus(flops, spent.flops or 0.0), _plus(moved, spent.bytes_moved or 0.0)
            continue
        measured = spent.flops or None
        if measured is None and role in shape.parameters:
            measured = 2 * shape.parameters[role] * (tokens - spent.tokens_cached)
            estimated.add("flops")
        flops = _plus(flops, measured)
        moved = _plus(moved, spent.bytes_moved or None)
        per_token = shape.kv_bytes.get(role)
        kv = _plus(kv, None if per_token is None else per_token * tokens)
    if kv is not None:
        estimated.add("kv_bytes")
    return Cost(_units(list(usage.values()), flops, moved, kv), frozenset(estimated))


def _units(
    spent: Sequence[Usage], flops: float | None, moved: float | None, kv: float | None
) -> dict[str, float | None]:
    into, out = sum(u.tokens_in for u in spent), sum(u.tokens_out for u in spent)
    usd: float | None = 0.0
    for u in spent:
        usd = _plus(usd, u.usd)
    return {
        "tokens": into + out,
        "tokens_out": out,
        "tokens_in": into,
        "calls": sum(u.calls for u in spent),
        "flops": flops,
        "bytes_moved": moved,
        "kv_bytes": kv,
        "usd": usd,
    }


def _plus(total: float | None, more: float | None) -> float | None:
    return None if total is None or more is None else total + more


def amounts(
    questions: Sequence[Sequence[Cost]], seed: int, seeds: tuple[int, ...] = ()
) -> dict[str, Amount | None]:
    """The mean cost of a question in each unit, with its bootstrap interval over questions.

    Args:
        questions: for each question the costs of its runs, one a seed.
        seed: of the bootstrap.
        seeds: of the runs, to be told.
    """
    found: dict[str, Amount | None] = dict.fromkeys(COST_UNITS)
    columns: dict[str, list[float]] = {}
    for unit in COST_UNITS:
        means = [_mean([c.units.get(unit) for c in runs]) for runs in questions]
        known = [m for m in means if m is not None]
        if known and len(known) == len(means):
            columns[unit] = known
    if not columns:
        return found
    resampled = resampled_means(list(columns.values()), seed, DRAWS)
    tail = expanded_tail(len(questions), CONFIDENCE)
    for (unit, column), seen in zip(columns.items(), resampled, strict=True):
        seen.sort()
        mean = sum(column) / len(column)
        total = sum(c.units[unit] or 0 for runs in questions for c in runs)
        estimated = any(unit in c.estimated for runs in questions for c in runs)
        low, high = min(mean, quantile(seen, tail)), max(mean, quantile(seen, 1 - tail))
        found[unit] = Amount(
            len(column),
            mean,
            low,
            high,
            "bootstrap",
            seeds,
            unit=unit,
            total=total,
            estimated=estimated,
        )
    return found


def _mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def by_role(charged: Iterable[Mapping[str, Usage]]) -> dict[str, Usage]:
    """The usage of each role in all, without engine seconds, which are of the machine."""
    sums: dict[str, Usage] = {}
    for usage in charged:
        for role, spent in usage.items():
            sums[role] = sums.get(role, ZERO) + spent
    return {role: replace(spent, seconds=0.0) for role, spent in sorted(sums.items())}


def shapes_of(card: Mapping[str, Any]) -> dict[str, Shape]:
    """What a run card says of its models' sizes: under `parameters` and `kv_bytes_per_token` of each model.

    Each is a number, which is the policy's, or a mapping by role. Models are listed with their `label`, or lie by it.

    >>> shapes_of({"models": [{"label": "small", "parameters": 135e6}]})["small"].parameters["policy"]
    135000000.0
    """
    held = card.get("models")
    if isinstance(held, Mapping):
        models = dict(cast("Mapping[str, Any]", held))
    else:
        listed = cast("list[Any]", held) if isinstance(held, list) else []
        known = [cast("Mapping[str, Any]", m) for m in listed if isinstance(m, Mapping)]
        models = {str(m["label"]): m for m in known if "label" in m}
    return {
        label: Shape(_sizes(said, "parameters"), _sizes(said, "kv_bytes_per_token"))
        for label, said in models.items()
    }


def _sizes(said: Any, key: str) -> dict[str, float]:
    held = cast("Mapping[str, Any]", said).get(key) if isinstance(said, Mapping) else None
    if isinstance(held, int | float) and not isinstance(held, bool) and held > 0:
        return {"policy": float(held)}
    if isinstance(held, Mapping):
        sizes = cast("Mapping[str, Any]", held)
        return {r: float(v) for r, v in sizes.items() if isinstance(v, int | float) and v > 0}
    return {}
