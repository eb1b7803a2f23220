"""Which arm to pull next: confidence bounds, priors, posteriors in closed form, and widening.

An arm is known by what it paid. Payments are taken to lie between 0 and 1; `span` brings any others
there, and moments as well, so that a range that grows needs no second look at the payments.
"""

from __future__ import annotations

import math
import random  # noqa: TID251  (only the type: the generator is made from a seed in `chance`)
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from .chance import generator

_LEAST = 1e-300
"""Where a gamma draw underflows to nought, its reciprocal must still be a number."""


def uct(
    values: Sequence[float], visits: Sequence[int], total: int, exploration: float
) -> list[float]:
    r"""The upper confidence bound of each child: value + exploration * sqrt(ln total / visits).

    `total` counts the visits of the parent. A child that was never visited comes before all others.

    Reference:
        @inproceedings{kocsis2006bandit, title={Bandit Based Monte-Carlo Planning}, author={Kocsis, Levente
        and Szepesv{\'a}ri, Csaba}, booktitle={ECML}, year={2006}}

    >>> [round(v, 3) for v in uct([0.5, 0.2], [9, 1], 10, exploration=1.0)]
    [1.006, 1.717]
    """
    log = math.log(total) if total > 1 else 0.0
    return [
        value + exploration * math.sqrt(log / count) if count else math.inf
        for value, count in zip(values, visits, strict=True)
    ]


def ucb1(values: Sequence[float], visits: Sequence[int]) -> list[float]:
    r"""`uct` on one bandit, with the exploration of sqrt 2 for which its regret is known.

    Reference:
        @article{auer2002finite, title={Finite-time Analysis of the Multiarmed Bandit Problem},
        author={Auer, Peter and Cesa-Bianchi, Nicol{\`o} and Fischer, Paul}, journal={Machine Learning},
        volume={47}, year={2002}}

    >>> ucb1([0.5, 0.0], [3, 0])[1]
    inf
    """
    return uct(values, visits, sum(visits), math.sqrt(2))


def puct(
    values: Sequence[float],
    visits: Sequence[int],
    total: int,
    priors: Sequence[float],
    exploration: float,
) -> list[float]:
    """The bound led by a prior: value + exploration * prior * sqrt(total) / (1 + visits).

    Reference:
        @article{silver2017mastering, title={Mastering the Game of Go without Human Knowledge},
        author={Silver, David and others}, journal={Nature}, volume={550}, year={2017}}

    >>> puct([0.5, 0.5], [1, 1], 4, [0.75, 0.25], exploration=1.0)
    [1.25, 0.75]
    """
    reach = exploration * math.sqrt(total)
    return [
        value + reach * prior / (1 + count)
        for value, count, prior in zip(values, visits, priors, strict=True)
    ]


def widened(visits: int, factor: float, power: float) -> int:
    r"""Progressive widening: how many children a node of so many visits may have.

    Reference:
        @inproceedings{coulom2007computing, title={Computing Elo Ratings of Move Patterns in the Game of Go},
        author={Coulom, R{\'e}mi}, booktitle={Computer Games Workshop}, year={2007}}

    >>> [widened(n, factor=2.0, power=0.5) for n in (0, 1, 4, 9)]
    [1, 2, 4, 6]
    """
    return max(1, math.ceil(factor * visits**power - 1e-9))


class Span(NamedTuple):
    """The range in which payments lie.

    >>> Span(-4.0, 6.0).share(1.0), Span(2.0, 2.0).share(2.0)
    (0.5, 0.5)
    """

    low: float = 0.0
    high: float = 1.0

    def share(self, value: float) -> float:
        """Where a value lies between the ends, 0 to 1; in the middle where the ends are one."""
        if self.high > self.low:
            return (value - self.low) / (self.high - self.low)
        return 0.5

    def including(self, value: float) -> Span:
        """This range itself where it holds the value, else one that does."""
        if self.low <= value <= self.high:
            return self
        return Span(min(self.low, value), max(self.high, value))


UNSEEN = Span(math.inf, -math.inf)
"""The range before the first payment."""


class Moments(NamedTuple):
    """What a posterior needs of the payments it has seen: all of it, in three numbers.

    >>> Moments().and_one(2.0).and_one(4.0)
    Moments(times=2, mean=3.0, spread=2.0)
    """

    times: int = 0
    mean: float = 0.0
    spread: float = 0.0
    """The sum of the squared distances from the mean."""

    def and_one(self, value: float) -> Moments:
        """With one payment more; stable however large the values are."""
        times, step = self.times + 1, value - self.mean
        mean = self.mean + step / times
        return Moments(times, mean, self.spread + step * (value - mean))

    def within(self, span: Span) -> Moments:
        """The same payments, brought between 0 and 1."""
        width = span.high - span.low
        if width > 0:
            return Moments(self.times, (self.mean - span.low) / width, self.spread / width / width)
        return Moments(self.times, 0.5, 0.0)


@dataclass(frozen=True, slots=True)
class NormalBelief:
    """A normal arm of unknown mean and variance: the normal-inverse-gamma distribution.

    variance ~ InverseGamma(degrees / 2, degrees * scale / 2), mean ~ Normal(center, variance / weight).

    >>> NormalBelief().after(Moments(2, 0.5, 0.02))
    NormalBelief(center=0.3333333333333333, weight=3.0, degrees=3.0, scale=0.09555555555555556)
    """

    center: float = 0.0
    weight: float = 1.0
    """How many payments the center is worth."""
    degrees: float = 1.0
    """How many payments the scale is worth."""
    scale: float = 0.1
    """The variance that is expected."""

    def after(self, seen: Moments) -> NormalBelief:
        """The posterior."""
        times, mean, spread = seen
        if not times:
            return self
        weight, degrees = self.weight + times, self.degrees + times
        off = mean - self.center
        between = times * self.weight * off * off / weight
        return NormalBelief(
            (self.weight * self.center + times * mean) / weight,
            weight,
            degrees,
            (self.degrees * self.scale + spread + between) / degrees,
        )

    def draw(self, draw: random.Random) -> float:
        """A mean that this arm may have."""
        half = self.degrees / 2
        precision = max(draw.gammavariate(half, 1.0), _LEAST)
        return draw.gauss(self.center, math.sqrt(half * self.scale / (precision * self.weight)))


@dataclass(frozen=True, slots=True)
class BetaBelief:
    """An arm that pays between 0 and 1: a payment counts as so much of a success. Jeffreys' prior.

    >>> BetaBelief().after(Moments(2, 0.75, 0.0))
    BetaBelief(successes=2.0, failures=1.0)
    """

    successes: float = 0.5
    failures: float = 0.5

    def after(self, seen: Moments) -> BetaBelief:
        """The posterior."""
        paid = seen.times * min(1.0, max(0.0, seen.mean))
        return BetaBelief(self.successes + paid, self.failures + seen.times - paid)

    def draw(self, draw: random.Random) -> float:
        """A mean that this arm may have."""
        return draw.betavariate(self.successes, self.failures)


Belief: TypeAlias = NormalBelief | BetaBelief


def thompson(arms: Sequence[Belief], seed: int) -> int:
    """Draw a mean of every arm; the index of the highest, ties to the earlier.

    Reference:
        @article{thompson1933likelihood, title={On the Likelihood that One Unknown Probability Exceeds
        Another in View of the Evidence of Two Samples}, author={Thompson, William R.},
        journal={Biometrika}, volume={25}, year={1933}}

    >>> thompson([BetaBelief(5.5, 45.5), BetaBelief(45.5, 5.5)], seed=0)
    1
    """
    return _highest(arms, generator(seed))


def wider_or_deeper(
    wider: Belief, deeper: Belief, children: Sequence[Belief], seed: int
) -> int | None:
    """Adaptive branching: `None` to make a new child, or the index of the child to go into.

    Two arms are drawn first: new children, known by what those of this node scored when they were made,
    and old ones, by what came from below them. Where the old ones win, the child is drawn among them.

    >>> wider_or_deeper(BetaBelief(5.5, 45.5), BetaBelief(45.5, 5.5), [BetaBelief()], seed=0)
    0
    >>> wider_or_deeper(BetaBelief(), BetaBelief(), [], seed=0) is None
    True
    """
    if not children:
        return None
    draw = generator(seed)
    if _highest((wider, deeper), draw) == 0:
        return None
    return _highest(children, draw)


def _highest(arms: Sequence[Belief], draw: random.Random) -> int:
    drawn = [arm.draw(draw) for arm in arms]
    return drawn.index(max(drawn))
