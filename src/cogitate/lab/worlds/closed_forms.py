"""What to expect of a world, by formula: the numbers that simulations are tested against."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from statistics import NormalDist

from .chain import Chain, ChainWorld
from .solution import Place, is_dead

_NORMAL = NormalDist()


def finish_chance(world: ChainWorld, chain: Chain, place: Place, boost: float = 0.0) -> float:
    """The chance that the policy ends right from here: the value of a place."""
    if is_dead(world, place):
        return 0.0
    if place.ended or place.done >= len(chain.operations):
        return 1.0 if place.offset == 0 else 0.0
    left = len(chain.operations) - place.done
    from_right, from_wrong = _finishing(
        world.step_chance(chain.difficulty, boost), world.repair, left
    )
    value = from_right if place.offset == 0 else from_wrong
    undecided = place.way is None and world.ways > 1
    return value * (1 - world.dead / world.ways) if undecided else value


@functools.lru_cache(maxsize=65_536)
def _finishing(right: float, repair: float, steps: int) -> tuple[float, float]:
    """The chances to end right after so many more steps, from a right place and from a wrong one."""
    good, bad = 1.0, 0.0
    for _ in range(steps):
        good, bad = (
            right * good + (1 - right) * bad,
            right * repair * good + (1 - right * repair) * bad,
        )
    return good, bad


def right_chance(world: ChainWorld, chain: Chain, boost: float = 0.0) -> float:
    """pass@1 of a problem.

    >>> world = ChainWorld(skill=0.0, steps=(2, 2))
    >>> right_chance(world, Chain(0, 0.0, 1, (("add", 2), ("add", 3))))
    0.25
    """
    gains = [boost + world.thinking_gain(words) for words in world.thoughts]
    return math.fsum(finish_chance(world, chain, Place(), gain) for gain in gains) / len(gains)


def coverage(chance: float, samples: int) -> float:
    """pass@k of independent samples that are right with this chance.

    >>> coverage(0.5, 3)
    0.875
    """
    return 1 - (1 - chance) ** samples


def answer_chances(world: ChainWorld, chain: Chain) -> dict[str, float]:
    """The chances of a sample's answer: `right`, `attractor`, `scattered` in all, and `dead` in all."""
    alive = 1 - world.dead / world.ways if world.ways > 1 else 1.0
    found = {"right": 0.0, "attractor": 0.0, "scattered": 0.0, "dead": 1 - alive}
    for words in world.thoughts:
        chance = world.step_chance(chain.difficulty, world.thinking_gain(words))
        right, lured, scattered = 1.0, 0.0, 0.0
        for _ in chain.operations:
            fixed = chance * world.repair
            lost = right * (1 - chance)
            right, lured, scattered = (
                right * chance + (lured + scattered) * fixed,
                lured * (1 - fixed) + lost * world.attractor,
                scattered * (1 - fixed) + lost * (1 - world.attractor),
            )
        for name, value in (("right", right), ("attractor", lured), ("scattered", scattered)):
            found[name] += value * alive / len(world.thoughts)
    return found


def majority_of_two(right: float, wrong: float, samples: int) -> float:
    """The chance that the right one of two classes has most votes; samples of neither abstain.

    Ties are right half the time.

    >>> majority_of_two(0.75, 0.25, 1)
    0.75
    """
    total = 0.0
    for won in range(samples + 1):
        for lost in range(samples - won + 1):
            rest = samples - won - lost
            weight = (
                math.factorial(samples)
                / (math.factorial(won) * math.factorial(lost) * math.factorial(rest))
                * right**won
                * wrong**lost
                * max(0.0, 1 - right - wrong) ** rest
            )
            total += weight * (1.0 if won > lost else 0.5 if won == lost and won else 0.0)
    return total


def majority_of(chances: Sequence[float], samples: int) -> float:
    """The chance that the first class has most votes among several; ties are shared alike.

    For every number of votes the first may win with, the ways in which the others stay at or below it are
    counted by a polynomial: no outcome is enumerated, so many classes cost little.

    >>> round(majority_of([0.5, 0.5], 3), 6), majority_of([1.0], 5)
    (0.5, 1.0)
    """
    total = 0.0
    for won in range(1, samples + 1):
        # ways[t][k]: weight of k votes spread over the others, none above `won`, t of them with just `won`.
        ways: dict[tuple[int, int], float] = {(0, 0): 1.0}
        for chance in chances[1:]:
            grown: dict[tuple[int, int], float] = {}
            for (tied, used), weight in ways.items():
                for votes in range(min(won, samples - won - used) + 1):
                    key = (tied + (votes == won), used + votes)
                    more = weight * chance**votes / math.factorial(votes)
                    grown[key] = grown.get(key, 0.0) + more
            ways = grown
        first = chances[0] ** won / math.factorial(won)
        total += sum(
            math.factorial(samples) * first * weight / (tied + 1)
            for (tied, used), weight in ways.items()
            if used == samples - won
        )
    return total


def best_of_gaussian(chance: float, auc: float, samples: int, points: int = 2001) -> float:
    """The chance that the best-scored of independent samples is right, under a binormal verifier.

    With G and B the score distributions of right and wrong samples and F their mixture, the best of N
    is right with chance ∫ N · chance · g(x) · F(x)^(N-1) dx, by Simpson's rule.

    >>> round(best_of_gaussian(0.3, 0.5, 16), 6), round(best_of_gaussian(0.3, 0.9, 1), 6)
    (0.3, 0.3)
    """
    distance = math.sqrt(2) * _NORMAL.inv_cdf(auc)
    good, bad = NormalDist(distance / 2), NormalDist(-distance / 2)
    low, high = -8 - abs(distance), 8 + abs(distance)
    width = (high - low) / (points - 1)
    total = 0.0
    for i in range(points):
        x = low + i * width
        mixed = chance * good.cdf(x) + (1 - chance) * bad.cdf(x)
        weight = 1 if i in (0, points - 1) else 4 if i % 2 else 2
        total += weight * samples * chance * good.pdf(x) * mixed ** (samples - 1)
    return total * width / 3


def uniform_regret(means: Sequence[float], pulls: int) -> float:
    """The expected regret of pulling the arms of a bandit in turn.

    >>> uniform_regret([1.0, 0.5], 4)
    1.0
    """
    best = max(means)
    return sum(best - means[i % len(means)] for i in range(pulls))


def halving_regret_bound(means: Sequence[float], pulls: int) -> float:
    """The bound on missing the best arm by sequential halving: 3 log2(K) exp(-T / (8 H2 log2(K))).

    H2 is the largest of i / gap(i)^2 over the arms by falling mean, from the second on.

    Reference:
        @inproceedings{karnin2013almost, title={Almost Optimal Exploration in Multi-Armed Bandits},
          author={Karnin, Zohar and Koren, Tomer and Somekh, Oren}, booktitle={ICML}, year={2013}}
    """
    ordered = sorted(means, reverse=True)
    hardness = max(
        (i + 1) / (ordered[0] - mean) ** 2 for i, mean in enumerate(ordered) if mean < ordered[0]
    )
    rounds = math.log2(len(means))
    return min(1.0, 3 * rounds * math.exp(-pulls / (8 * hardness * rounds)))
