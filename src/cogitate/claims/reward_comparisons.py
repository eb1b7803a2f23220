"""Paper 12: which method pays under which verifier, on presets of the world."""

from __future__ import annotations

import itertools
from typing import Any, Final

from cogitate.core.protocols import Strategy
from cogitate.lab.worlds import ChainWorld
from cogitate.rules import Interval, bootstrap

from .claim import Observed, Setting, statistical
from .reward_strategies import beam, best_of_n, diverse, one, vote
from .trials import Trial, lead, shown, trial, world_of


def _comparison(
    setting: Setting,
    better: Strategy,
    worse: Strategy,
    said: str,
    sizes: tuple[int, int] = (150, 80),
) -> Observed:
    """Holds where the first is more often right than the second beyond doubt."""
    world, count, seeds = world_of(setting), setting.size(*sizes), (0, 1)
    first, second = trial(better, world, count, seeds), trial(worse, world, count, seeds)
    found = lead(first, second)
    return Observed(
        found.low > 0,
        f"{said}: {first.accuracy.value:.3f} and {second.accuracy.value:.3f}, lead {shown(found)}",
        (found.low, found.high),
        len(first.right),
        seeds,
    )


@statistical(
    "with an oracle search beats sampling",
    "oracle PRM (true reachability): beam ≥ BoN at equal N",
    items=(5,),
    preset="perfect_verifier",
    null="null",
    rejects="best-of-N is at least as good as beam search at N = 4",
    region=({"skill": 1.0}, {"skill": 3.0}, {"repair": 0.3}),
)
def oracle(setting: Setting) -> Observed:
    return _comparison(setting, beam(4), best_of_n(4), "N = 4, beam and best-of-N")


@statistical(
    "a misleading verifier turns the order round",
    "with an inverted PRM beam falls below BoN and below majority",
    items=(5,),
    preset="misleading_verifier",
    null="perfect_verifier",
    rejects="beam search is at least as good as best-of-N or as majority at N = 16",
    region=({"auc": 0.2}, {"auc": 0.5}, {"auc": 0.7}, {"auc": 0.9}, {"auc": 0.99}),
)
def misled(setting: Setting) -> Observed:
    pair = [
        _comparison(setting, rival, beam(16), f"N = 16, {name} and beam", (60, 40))
        for name, rival in (("best-of-N", best_of_n(16)), ("majority", vote(16)))
    ]
    least = min(pair, key=lambda seen: seen.interval or (0.0, 0.0))
    text = "; ".join(seen.text for seen in pair)
    return Observed(all(seen.holds for seen in pair), text, least.interval, least.n, least.seeds)


@statistical(
    "a verifier that likes length turns the order round",
    "with a length-biased PRM beam falls below BoN and below majority",
    items=(5,),
    preset="wordy",
    null="perfect_verifier",
    rejects="beam search is at least as good as majority at N = 16",
    region=({"length_bias": 5.0}, {"auc": 0.6}, {"length_bias": -3.0}),
)
def wordy(setting: Setting) -> Observed:
    return _comparison(setting, vote(16), beam(16), "N = 16, majority and beam", (60, 40))


RUNGS: Final = 3
"""The ladder of difficulty is a ladder of skill the other way round: only their difference counts."""


def _rungs(
    strategy: Strategy, world: ChainWorld, count: int, seeds: tuple[int, ...]
) -> list[Trial]:
    """A trial cut into rungs, the most able policy last; where all are alike, cut at random."""
    whole = trial(strategy, world, count, seeds)
    low, high = world.difficulty
    if low == high:
        return [whole.part(range(i, len(whole.problems), RUNGS)) for i in range(RUNGS)]
    cuts = [high - i * (high - low) / RUNGS for i in range(RUNGS + 1)]
    return [
        whole.where(below, above if i else above + 1.0)
        for i, (above, below) in enumerate(itertools.pairwise(cuts))
    ]


def _gain(method: Trial, plain: Trial) -> float:
    """The relative gain over one chain."""
    return sum(method.right) / max(1, sum(plain.right)) - 1


@statistical(
    "the abler the policy the less is gained",
    "relative gain of TTS over CoT decreases with skill",
    items=(10,),
    preset="ladder",
    null="null",
    rejects="the relative gain on the lowest rung is no higher than on the highest",
    region=({"auc": 0.6}, {"auc": 0.95}, {"attractor": 0.0}),
)
def gain_falls(setting: Setting) -> Observed:
    """The best of the three methods on each rung, against one chain."""
    world, count, seeds = world_of(setting), setting.size(150, 60), (0, 1)
    plain = _rungs(one(), world, count, seeds)
    made = [_rungs(s, world, count, seeds) for s in (beam(16), diverse(16), best_of_n(16))]
    gains = [max(_gain(m[i], plain[i]) for m in made) for i in range(RUNGS)]
    best = max(made, key=lambda m: sum(m[0].right))
    found = _difference(best, plain)
    falling = all(a > b for a, b in itertools.pairwise(gains))
    return Observed(
        falling and found.low > 0,
        f"relative gain from the lowest rung to the highest: {', '.join(f'{g:.2f}' for g in gains)}; lowest "
        f"less highest {shown(found)}",
        (found.low, found.high),
        sum(len(t.right) for t in plain),
        seeds,
    )


def _difference(method: list[Trial], plain: list[Trial]) -> Interval:
    """The gain on the lowest rung less that on the highest, with a bootstrap over problems of both."""
    ends = [list(zip(method[i].right, plain[i].right, strict=True)) for i in (0, RUNGS - 1)]
    size = min(len(end) for end in ends)
    pairs = [(ends[0][i], ends[1][i]) for i in range(size)]

    def apart(indices: Any) -> float:
        drawn = [pairs[int(i)] for i in indices]
        gains = [
            sum(p[k][0] for p in drawn) / max(1, sum(p[k][1] for p in drawn)) - 1 for k in (0, 1)
        ]
        return gains[0] - gains[1]

    return bootstrap([float(i) for i in range(size)], 0, draws=1000, statistic=apart)


@statistical(
    "search suits weak policies, sampling able ones",
    "the best method moves from search to BoN with skill",
    items=(10,),
    preset="ladder",
    null="null",
    rejects="search is no better than best-of-N on the lowest rung, or beam no worse on the highest two",
    region=({"auc": 0.6}, {"auc": 0.95}, {"attractor": 0.0}),
)
def method_moves(setting: Setting) -> Observed:
    world, count, seeds = world_of(setting), setting.size(150, 60), (0, 1)
    beams, trees, samples = (
        _rungs(s, world, count, seeds) for s in (beam(16), diverse(16), best_of_n(16))
    )
    low = lead(trees[0], samples[0])
    high = lead(samples[1] + samples[2], beams[1] + beams[2])
    told = "; ".join(
        f"{name} " + " ".join(f"{t.accuracy.value:.3f}" for t in found)
        for name, found in (("beam", beams), ("DVTS", trees), ("best-of-N", samples))
    )
    return Observed(
        low.low > 0 and high.low > 0,
        f"accuracy from the lowest rung to the highest, N = 16: {told}; DVTS over best-of-N at the bottom "
        f"{shown(low)}, best-of-N over beam above {shown(high)}",
        (low.low, low.high),
        len(samples[0].right),
        seeds,
    )


@statistical(
    "beam is best for the weakest policies",
    "the best method moves from beam to DVTS to BoN",
    items=(10,),
    preset="ladder",
    null="null",
    rejects="DVTS or best-of-N is at least as good as beam on the lowest rung",
    region=({"auc": 0.95}, {"attractor": 0.0}),
)
def beam_first(setting: Setting) -> Observed:
    world, count, seeds = world_of(setting), setting.size(150, 60), (0, 1)
    beams, trees, samples = (
        _rungs(s, world, count, seeds)[0] for s in (beam(16), diverse(16), best_of_n(16))
    )
    found = min((lead(beams, rival) for rival in (trees, samples)), key=lambda i: i.low)
    return Observed(
        found.low > 0,
        f"lowest rung, N = 16: beam {beams.accuracy.value:.3f}, DVTS {trees.accuracy.value:.3f}, best-of-N "
        f"{samples.accuracy.value:.3f}; smaller lead of beam {shown(found)}",
        (found.low, found.high),
        len(beams.right),
        seeds,
    )
