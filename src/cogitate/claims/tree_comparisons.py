"""Paper 35: what sharing the cache saves, and what it costs in right answers, on worlds."""

from __future__ import annotations

import itertools
from typing import Any, Final

from cogitate.lab.worlds import ChainWorld, preset
from cogitate.rules import Interval, bootstrap, paired_bootstrap

from .claim import Observed, Setting, performance, statistical
from .tree_strategies import SMALL, Grown, ets, grown, prune, ratio, rebase
from .trials import shown, world_of

LADDER: Final = (0.5, 1.0, 1.5)
"""Prices of nodes among which pruning alone finds the cache that ETS needs."""


def _lead(first: Grown, second: Grown) -> Interval:
    return paired_bootstrap(
        [float(x) for x in first.right], [float(x) for x in second.right], 0, draws=1000
    )


def _as_large(world: ChainWorld, count: int, seeds: tuple[int, ...], least: Grown) -> Grown:
    """Pruning alone, at the highest price at which it still needs as much cache."""
    for cost in sorted(LADDER, reverse=True):
        found = grown(prune(cost=cost), world, count, seeds)
        if sum(found.kept) >= sum(least.kept):
            return found
    return grown(rebase(), world, count, seeds)


@statistical(
    "meanings win back what pruning loses",
    "accuracy(prune only at the same KV) is lower",
    items=(10,),
    preset="blind_alleys",
    null="null",
    rejects="pruning alone, with no less cache, is at least as often right as ETS",
    region=({"embedding_noise": 0.1}, {"dead": 0}),
)
def recovered(setting: Setting) -> Observed:
    world, count, seeds = world_of(setting), setting.size(100, 40), (0, 1)
    covering, plain = grown(ets(), world, count, seeds), grown(rebase(), world, count, seeds)
    pruned = _as_large(world, count, seeds, covering)
    found = _lead(covering, pruned)
    return Observed(
        found.low > 0,
        f"width {SMALL}: right {_share(covering)} with a cache {ratio(plain, covering):.2f} times smaller than that of "
        f"REBASE; pruning alone with one {ratio(plain, pruned):.2f} times smaller {_share(pruned)}; lead {shown(found)}",
        (found.low, found.high),
        len(covering.right),
        seeds,
    )


@performance(
    "as often right as REBASE, within noise",
    "accuracy(ETS) ≈ accuracy(REBASE) within noise",
    items=(10,),
)
def level(setting: Setting) -> Observed:
    """The interval of the difference holds 0, while the cache is smaller beyond doubt."""
    world, count, seeds = preset("blind_alleys"), setting.size(100, 40), (0, 1)
    covering, plain = grown(ets(), world, count, seeds), grown(rebase(), world, count, seeds)
    found, saved = _lead(covering, plain), _ratio(plain, covering)
    return Observed(
        found.low <= 0 <= found.high and saved.low > 1,
        f"width {SMALL}: {_share(covering)} and {_share(plain)}, difference {shown(found)}, at a cache {shown(saved)} "
        "times smaller",
        (found.low, found.high),
        len(covering.right),
        seeds,
    )


def _share(found: Grown) -> str:
    return f"{sum(found.right) / len(found.right):.3f}"


@performance(
    "the cache is smaller at equal width",
    "total KV(ETS) ≤ KV(REBASE) on average over seeds at equal width",
    items=(9,),
)
def smaller(setting: Setting) -> Observed:
    count, seeds = setting.size(100, 10), (0, 1)
    lows: list[float] = []
    told: list[str] = []
    for name in ("blind_alleys", "deceptive", "medium"):
        world = preset(name)
        covering = grown(ets(), world, count, seeds)
        plain = grown(rebase(), world, count, seeds)
        found = _ratio(plain, covering)
        lows.append(found.low)
        told.append(f"{name} {shown(found)}")
    return Observed(
        min(lows) > 1,
        f"KV of REBASE over that of ETS, width {SMALL}: {'; '.join(told)}",
        n=2 * count,
        seeds=seeds,
    )


def _ratio(first: Grown, second: Grown) -> Interval:
    """The ratio of averages, with problems as the unit."""
    pairs = list(zip(first.kept, second.kept, strict=True))

    def of(indices: Any) -> float:
        drawn = [pairs[int(i)] for i in indices]
        return sum(a for a, _ in drawn) / max(1, sum(b for _, b in drawn))

    return bootstrap([float(i) for i in range(len(pairs))], 0, draws=500, statistic=of)


@performance(
    "the saving grows with the width",
    "KV ratio clearly > 1 and growing with W",
    items=(10,),
)
def grows(setting: Setting) -> Observed:
    world = preset("blind_alleys")
    sizes = ((4, 60), (16, 40), (64, 12), (256, 4)) if not setting.quick else ((4, 20), (32, 8))
    ratios = [
        ratio(grown(rebase(w), world, count), grown(ets(w), world, count)) for w, count in sizes
    ]
    told = ", ".join(f"{r:.2f} at {w}" for (w, _), r in zip(sizes, ratios, strict=True))
    return Observed(
        ratios[0] > 1 and all(a < b for a, b in itertools.pairwise(ratios)),
        f"KV of REBASE over that of ETS by width: {told}",
        n=sum(count for _, count in sizes),
        seeds=(0,),
    )
