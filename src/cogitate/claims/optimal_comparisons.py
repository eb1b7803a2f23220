"""Paper 01: which method pays where, on presets of the world."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from typing import Final

from cogitate.core.protocols import Strategy
from cogitate.processes import Answer
from cogitate.rules.aggregate import Aggregate
from cogitate.scorers import ProcessReward
from cogitate.search import BestOf, Solve

from .claim import Observed, Setting, statistical
from .optimal_strategies import ahead, beam, best_of_weighted, revisions
from .trials import lead, shown, trial, world_of

METHODS: Final[tuple[tuple[str, Callable[[int], Strategy]], ...]] = (
    ("best-of-N", best_of_weighted),
    ("beam", beam),
    ("lookahead", partial(ahead, steps=1)),
)


@statistical(
    "with a perfect verifier more is never worse",
    "with perfect PRM accuracy is non-decreasing in N for all methods",
    items=(4,),
    preset="perfect_verifier",
    null="null",
    rejects="more samples do not help, or hurt somewhere",
    region=({"skill": 1.0},),
)
def monotone(setting: Setting) -> Observed:
    """No step from a budget to the next loses (its interval is not below 0), and sampling gains in all."""
    world, count, seeds = world_of(setting), 30, (0, 1)
    budgets = (4, 16, 64)[: setting.size(3, 2)]
    told: list[str] = []
    right = True
    for name, make in METHODS:
        found = [trial(make(n), world, count, seeds) for n in budgets]
        steps = [lead(b, a) for a, b in itertools.pairwise(found)]
        right = right and all(step.high >= 0 for step in steps)
        told.append(f"{name} " + " ".join(f"{t.accuracy.value:.2f}" for t in found))
    many = setting.size(200, 100)
    most, least = (
        trial(best_of_weighted(n), world, many, seeds) for n in (budgets[-1], budgets[0])
    )
    gain = lead(most, least)
    return Observed(
        right and gain.low > 0,
        f"accuracy at N = {', '.join(map(str, budgets))}: {'; '.join(told)}; gain of best-of-N {shown(gain)}",
        (gain.low, gain.high),
        len(most.right),
        seeds,
    )


@statistical(
    "an exploitable verifier turns search against itself",
    "with an exploitable PRM beam falls below best-of-N at large N on easy bins (over-optimisation)",
    items=(4,),
    preset="exploitable",
    null="perfect_verifier",
    rejects="beam search is at least as good as best-of-N on the easier half",
    region=({"exploit": 2.0}, {"exploit": 0.0}, {"flourish": 0.05}),
)
def over_optimised(setting: Setting) -> Observed:
    world, n = world_of(setting), setting.size(64, 16)
    seeds, middle = (0, 1), sum(world.difficulty) / 2
    count = setting.size(30, 20)
    searched = trial(beam(n), world, count, seeds).where(-9.0, middle)
    sampled = trial(best_of_weighted(n), world, count, seeds).where(-9.0, middle)
    found = lead(sampled, searched)
    return Observed(
        found.low > 0,
        f"easier half, N = {n}: best-of-N {sampled.accuracy.value:.3f}, beam {searched.accuracy.value:.3f}, "
        f"lead {shown(found)}",
        (found.low, found.high),
        len(sampled.right),
        seeds,
    )


@statistical(
    "an exploitable verifier still helps small searches on medium questions",
    "and stays above on medium bins at small N",
    items=(4,),
    preset="exploitable",
    null="null",
    rejects="beam search is no better than best-of-N at N = 4 on the harder half",
    region=({"exploit": 0.0}, {"flourish": 0.05}, {"skill": 0.5}),
)
def small_searches(setting: Setting) -> Observed:
    world = world_of(setting)
    seeds, middle = (0, 1), sum(world.difficulty) / 2
    count = setting.size(200, 60)
    searched = trial(beam(4), world, count, seeds).where(middle, 9.0)
    sampled = trial(best_of_weighted(4), world, count, seeds).where(middle, 9.0)
    found = lead(searched, sampled)
    return Observed(
        found.low > 0,
        f"harder half, N = 4: beam {searched.accuracy.value:.3f}, best-of-N {sampled.accuracy.value:.3f}, "
        f"lead {shown(found)}",
        (found.low, found.high),
        len(sampled.right),
        seeds,
    )


@statistical(
    "search pays where right samples are rare",
    "bins 1-2: beam degrades with budget; bins 3-4: beam better",
    items=(4, 12),
    preset="hard",
    null="easy",
    rejects="beam search is no better than best-of-N",
    region=({"auc": 0.6}, {"auc": 0.95}, {"skill": 1.0}),
)
def pays_where_hard(setting: Setting) -> Observed:
    world, count, seeds = world_of(setting), setting.size(200, 120), (0, 1)
    searched = trial(beam(16), world, count, seeds)
    sampled = trial(best_of_weighted(16), world, count, seeds)
    found = lead(searched, sampled)
    return Observed(
        found.low > 0,
        f"N = 16: beam {searched.accuracy.value:.3f}, best-of-N {sampled.accuracy.value:.3f}, lead {shown(found)}",
        (found.low, found.high),
        len(sampled.right),
        seeds,
    )


def _last_against(rule: Aggregate, setting: Setting) -> Observed:
    """Best-of-8 by the value of the single best solution, where a vote cannot make up for it."""
    world, count, seeds = world_of(setting), setting.size(300, 200), (0, 1)
    last, rival = (
        trial(Solve(Answer(), ProcessReward(by), BestOf(8)), world, count, seeds)
        for by in ("last", rule)
    )
    found = lead(last, rival)
    return Observed(
        found.low > 0,
        f"last {last.accuracy.value:.3f}, {rule} {rival.accuracy.value:.3f}, lead {shown(found)}",
        (found.low, found.high),
        len(last.right),
        seeds,
    )


_REPAIRS: Final = ({"repair": 0.0}, {"repair": 0.8}, {"auc": 0.95})


@statistical(
    "the last step's value selects better than the least",
    "last-step ≥ min in selection there",
    items=(5,),
    preset="self_correcting",
    null="null",
    rejects="the least of the values selects at least as well",
    region=_REPAIRS,
)
def last_not_least(setting: Setting) -> Observed:
    return _last_against("min", setting)


@statistical(
    "the last step's value selects better than the product",
    "last-step ≥ product in selection there",
    items=(5,),
    preset="self_correcting",
    null="null",
    rejects="the product of the values selects at least as well",
    region=_REPAIRS,
)
def last_not_product(setting: Setting) -> Observed:
    return _last_against("product", setting)


@statistical(
    "easy questions want one long chain",
    "on the synthetic ladder the best L:P ratio is fully sequential for easy",
    items=(12,),
    preset="revising",
    null="easy",
    rejects="parallel sampling is at least as good as one chain of revisions on the easier half",
    region=({"revision": 0.0}, {"revision": 1.6}, {"broken": 0.1}),
)
def easy_is_sequential(setting: Setting) -> Observed:
    return _ratios(setting, easy=True)


@statistical(
    "hard questions want several chains",
    "and interior for hard",
    items=(12,),
    preset="revising",
    null="easy",
    rejects="one chain, or all parallel, is at least as good as a mixture on the harder half",
    region=({"revision": 0.0}, {"revision": 1.6}, {"broken": 0.1}),
)
def hard_is_mixed(setting: Setting) -> Observed:
    return _ratios(setting, easy=False)


def _ratios(setting: Setting, *, easy: bool) -> Observed:
    """Accuracy by chains at N = 16; which ratio is best is chosen on seed 0 and compared on the others.

    In the null preset a revision teaches nothing and breaks more than a fresh sample gets wrong.
    """
    world, n, seeds = world_of(setting), 16, (1, 2, 3, 4)
    count, middle = 100, sum(world.difficulty) / 2
    low, high = (-9.0, middle) if easy else (middle, 9.0)
    if world.difficulty[0] == world.difficulty[1]:
        low, high = -9.0, 9.0
    parallel = (1, 2, 4, 16)
    first = {p: trial(revisions(n, p), world, count).where(low, high) for p in parallel}
    inner = max((2, 4), key=lambda p: first[p].accuracy.value)
    later = {p: trial(revisions(n, p), world, count, seeds).where(low, high) for p in parallel}
    rivals = [p for p in parallel if p > 1] if easy else [1, n]
    mine = 1 if easy else inner
    found = min((lead(later[mine], later[p]) for p in rivals), key=lambda i: i.low)
    told = ", ".join(f"{p}: {later[p].accuracy.value:.3f}" for p in parallel)
    return Observed(
        found.low > 0,
        f"accuracy by chains at N = {n}: {told}; least lead of {mine} {shown(found)}",
        (found.low, found.high),
        len(later[mine].right),
        seeds,
    )
