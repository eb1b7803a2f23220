"""Tunes the weights of a tree search: the smallest cache whose accuracy stays within a tolerance of a baseline's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cogitate.assembly import Configuration, solve_many
from cogitate.core.errors import InvalidInput
from cogitate.drive import PrefixTokens
from cogitate.rules.canonical import matches
from cogitate.rules.statistics import Interval, paired_bootstrap, wilson

from .tasks import Item

Tell = Callable[[str], None]
"""Hears of each strategy that begins."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One strategy on the questions."""

    strategy: str
    accuracy: Interval
    lead: Interval
    """Accuracy less the baseline's, question by question; of the baseline itself 0."""
    cache: float
    """Unique-prefix tokens a question, summed over the depths of its tree."""
    tokens: float
    """Generated tokens a question."""

    def as_json(self) -> dict[str, Any]:
        """The public JSON form."""
        return {
            "strategy": self.strategy,
            "accuracy": [self.accuracy.value, self.accuracy.low, self.accuracy.high],
            "lead": [self.lead.value, self.lead.low, self.lead.high],
            "cache_tokens": self.cache,
            "tokens_out": self.tokens,
        }


@dataclass(frozen=True, slots=True)
class Tuning:
    """What was tried, and what to use."""

    baseline: Tried
    tried: tuple[Tried, ...]
    tolerance: float
    sure: bool
    chosen: Tried | None
    """`None` where nothing that needs less cache than the baseline stays within the tolerance."""
    questions: int

    def as_json(self) -> dict[str, Any]:
        """The public JSON form."""
        return {
            "baseline": self.baseline.as_json(),
            "tried": [one.as_json() for one in self.tried],
            "tolerance": self.tolerance,
            "sure": self.sure,
            "chosen": None if self.chosen is None else self.chosen.strategy,
            "questions": self.questions,
        }


def smallest(
    tried: Sequence[Tried], baseline: Tried, tolerance: float, *, sure: bool = False
) -> Tried | None:
    """The one with the smallest cache of those whose accuracy is at most `tolerance` below the baseline's.

    Args:
        tried: the candidates.
        baseline: what they are held against.
        tolerance: a share of the questions, such as 0.02.
        sure: the whole interval of the difference must be within the tolerance, not its estimate alone.
    """
    within = [
        one
        for one in tried
        if one.cache < baseline.cache
        and (one.lead.low if sure else one.lead.value) >= -tolerance - 1e-12
    ]
    return min(within, key=lambda one: (one.cache, one.strategy), default=None)


def settings(template: str, values: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The strategies that a template stands for.

    >>> settings("ets(width=16, cost={cost})", {"cost": ("0.5", "1")})
    ('ets(width=16, cost=0.5)', 'ets(width=16, cost=1)')

    Raises:
        InvalidInput: where a name of the template has no values, or one of `values` does not occur in it.
    """
    lacking = [name for name in values if f"{{{name}}}" not in template]
    if lacking:
        raise InvalidInput(
            f"values for {lacking[0]!r} were given, but {template!r} does not hold {{{lacking[0]}}}"
        )
    found: list[str] = []
    for chosen in itertools.product(*values.values()):
        spec = template
        for name, value in zip(values, chosen, strict=True):
            spec = spec.replace(f"{{{name}}}", value)
        found.append(spec)
    if "{" in found[0]:
        raise InvalidInput(
            f"{template!r} holds a name in braces without values; give some with --vary NAME=A,B"
        )
    return tuple(dict.fromkeys(found))


async def tune(
    items: Sequence[Item],
    strategies: Sequence[str],
    *,
    model: str | None,
    baseline: str = "rebase()",
    tolerance: float = 0.02,
    sure: bool = False,
    seed: int = 0,
    configuration: Configuration | None = None,
    tell: Tell = lambda _: None,
) -> Tuning:
    """Try each strategy on the same questions; tune on other questions than you report on.

    Raises:
        InvalidInput: for questions without a reference that can be compared, or a negative tolerance.
    """
    unread = [item.id for item in items if item.gold is None or item.task.kind in ("code", "text")]
    if unread or not items:
        raise InvalidInput(
            f"tuning needs questions whose answers can be compared; {unread[0] if unread else 'there are none'} "
            "has no such reference"
        )
    if not 0 <= tolerance < 1:
        raise InvalidInput(f"a tolerance of {tolerance} was asked for; it lies from 0 to below 1")
    rights: dict[str, list[float]] = {}
    costs: dict[str, tuple[float, float]] = {}
    for spec in dict.fromkeys((baseline, *strategies)):
        tell(spec)
        rights[spec], costs[spec] = await _on(items, spec, model, seed, configuration)

    def told(spec: str) -> Tried:
        right = rights[spec]
        return Tried(
            spec,
            wilson(sum(right), len(right)),
            paired_bootstrap(right, rights[baseline], seed, draws=1000),
            *costs[spec],
        )

    held = told(baseline)
    found = tuple(told(spec) for spec in strategies)
    chosen = smallest(found, held, tolerance, sure=sure)
    return Tuning(held, found, tolerance, sure, chosen, len(items))


async def _on(
    items: Sequence[Item], spec: str, model: str | None, seed: int, configuration: Configuration | None
) -> tuple[list[float], tuple[float, float]]:  # fmt: skip
    heard, right, tokens = PrefixTokens(), list[float](), list[int]()
    results = solve_many(
        [item.task for item in items],
        model=model,
        strategy=spec,
        seed=seed,
        listen=heard,
        configuration=configuration,
    )
    number = 0
    async for result in results:
        item = items[number]
        number += 1
        right.append(float(matches(result.answer, item.gold or "", item.task.kind) is True))
        tokens.append(result.usage.tokens_out)
    count = len(items)
    return right, (heard.total / count, math.fsum(tokens) / count)
