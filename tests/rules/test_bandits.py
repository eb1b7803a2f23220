from __future__ import annotations

import math
import statistics
from collections.abc import Callable

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cogitate.rules import (
    BetaBelief,
    Moments,
    NormalBelief,
    Span,
    puct,
    thompson,
    ucb1,
    uct,
    widened,
    wider_or_deeper,
)
from cogitate.rules.bandits import UNSEEN
from cogitate.rules.chance import generator

PAYMENTS = (0.1, 0.9, 0.35, 0.35, 0.6, 1.0, 0.0)
UNIT = st.floats(0, 1)


def seen(payments) -> Moments:
    moments = Moments()
    for payment in payments:
        moments = moments.and_one(payment)
    return moments


# ------------------------------------------------------------------------------- bounds


def test_bounds_are_their_formulas():
    assert uct([0.5, 0.25], [4, 1], 5, 2.0) == [
        0.5 + 2 * math.sqrt(math.log(5) / 4),
        0.25 + 2 * math.sqrt(math.log(5)),
    ]
    assert ucb1([0.5, 0.25], [4, 1]) == uct([0.5, 0.25], [4, 1], 5, math.sqrt(2))
    assert uct([0.5, 0.1], [2, 0], 2, 1.0)[1] == math.inf
    assert uct([0.5], [1], 1, 1.0) == [0.5]
    assert puct([0.5, 0.25], [3, 0], 9, [0.25, 0.75], 2.0) == [0.5 + 6 * 0.25 / 4, 0.25 + 4.5]


@given(st.lists(st.tuples(UNIT, st.integers(1, 50)), min_size=1, max_size=6))
def test_without_exploration_bounds_are_values_and_with_it_above_them(arms):
    values, visits = [v for v, _ in arms], [n for _, n in arms]
    total = sum(visits)
    assert uct(values, visits, total, 0.0) == values
    equal = [1 / len(arms)] * len(arms)
    assert puct(values, visits, total, equal, 0.0) == values
    assert all(b >= v for b, v in zip(uct(values, visits, total, 1.0), values, strict=True))
    fewer = uct([0.5, 0.5], [1, 1 + visits[0]], 2 + visits[0], 1.0)
    assert fewer[0] > fewer[1]


@given(st.integers(0, 1000), st.floats(0.1, 10), UNIT)
def test_a_widening_never_narrows(visits, factor, power):
    assert 1 <= widened(visits, factor, power) <= widened(visits + 1, factor, power)
    assert widened(visits, 1.0, 1.0) == max(1, visits)
    assert widened(visits, 3.0, 0.0) == 3


def regret(choose: Callable[[list[float], list[int], int], int], horizon: int, seed: int) -> float:
    """What pulling the best arm all along would have paid more, in expectation."""
    means, world = (0.2, 0.5, 0.8), generator(seed)
    paid, pulls, missed = [0.0] * 3, [0] * 3, 0.0
    for turn in range(horizon):
        arm = choose(paid, pulls, 1000 * seed + turn)
        paid[arm] += world.random() < means[arm]
        pulls[arm] += 1
        missed += max(means) - means[arm]
    return missed


def by_ucb1(paid, pulls, seed):
    bounds = ucb1([p / n if n else 0.0 for p, n in zip(paid, pulls, strict=True)], pulls)
    return bounds.index(max(bounds))


def by_thompson(paid, pulls, seed):
    return thompson(
        [
            BetaBelief().after(Moments(n, p / n if n else 0.0))
            for p, n in zip(paid, pulls, strict=True)
        ],
        seed,
    )


def test_regret_grows_like_a_logarithm():
    seeds = range(12)

    def mean(choose, horizon):
        return statistics.fmean(regret(choose, horizon, seed) for seed in seeds)

    gaps = (0.6, 0.3)
    proven = 8 * math.log(800) * sum(1 / g for g in gaps) + (1 + math.pi**2 / 3) * sum(gaps)
    even = 800 * sum(gaps) / 3
    ucb, drawn = mean(by_ucb1, 800), mean(by_thompson, 800)
    assert ucb < proven
    assert drawn < ucb < 0.4 * even
    assert mean(by_ucb1, 1600) - ucb < 0.5 * ucb
    assert mean(by_thompson, 1600) - drawn < 0.5 * drawn
    never = mean(lambda paid, pulls, seed: seed % 3, 800)
    assert abs(never - even) < 0.02 * even


# --------------------------------------------------------------------------- posteriors


@pytest.mark.parametrize(
    ("first", "center", "weight", "degrees", "scale"),
    [
        (1, 0.05, 2.0, 2.0, 0.052500000000000005),
        (3, 0.3375, 4.0, 4.0, 0.14671875),
        (7, 0.41250000000000003, 8.0, 8.0, 0.14546874999999998),
    ],
)
def test_a_normal_posterior_has_the_numbers_of_treequest(first, center, weight, degrees, scale):
    """`ProbabilisticDist(PriorConfig("gaussian"))` of treequest 0.3.3, told PAYMENTS[:first]; its `params`."""
    after = NormalBelief().after(seen(PAYMENTS[:first]))
    assert (after.center, after.weight, after.degrees, after.scale) == pytest.approx(
        (center, weight, degrees, scale), rel=1e-14
    )


def test_another_prior_has_the_numbers_of_treequest():
    """The same with `prior={"m": 0.4, "kappa": 2.5, "nu": 3.0, "tau_square": 0.05}` and all PAYMENTS."""
    after = NormalBelief(0.4, 2.5, 3.0, 0.05).after(seen(PAYMENTS))
    assert (after.center, after.weight, after.degrees, after.scale) == pytest.approx(
        (0.4526315789473685, 9.5, 10.0, 0.10286842105263157), rel=1e-14
    )


@pytest.mark.parametrize(
    ("first", "successes", "failures"), [(1, 0.6, 1.4), (3, 1.85, 2.15), (7, 3.8, 4.2)]
)
def test_a_beta_posterior_has_the_numbers_of_treequest(first, successes, failures):
    """`ProbabilisticDist(PriorConfig("beta"))` of treequest 0.3.3, told PAYMENTS[:first]; its `params`."""
    after = BetaBelief().after(seen(PAYMENTS[:first]))
    assert (after.successes, after.failures) == pytest.approx((successes, failures), rel=1e-14)


def test_the_normal_posterior_is_prior_times_likelihood():
    """Integrated on a grid over the mean and the logarithm of the variance."""
    prior, data = NormalBelief(0.3, 2.0, 3.0, 0.2), (0.9, 0.1, 0.4, 1.3)
    mass = first = second = 0.0
    for k in range(-150, 100):
        variance = math.exp(k / 20)
        # Inverse gamma in the variance, times the variance for the step of its logarithm.
        level = (-prior.degrees / 2) * math.log(variance) - prior.degrees * prior.scale / (
            2 * variance
        )
        for m in range(-200, 260):
            mean = m / 50
            squares = prior.weight * (mean - prior.center) ** 2 + sum((x - mean) ** 2 for x in data)
            density = math.exp(
                level - 0.5 * (1 + len(data)) * math.log(variance) - squares / (2 * variance)
            )
            mass += density
            first += density * mean
            second += density * mean * mean
    after = prior.after(seen(data))
    spread = after.scale / after.weight * after.degrees / (after.degrees - 2)
    assert first / mass == pytest.approx(after.center, abs=1e-4)
    assert second / mass - (first / mass) ** 2 == pytest.approx(spread, rel=2e-3)


def test_the_beta_posterior_is_prior_times_likelihood():
    data, prior = (0.25, 1.0, 0.5), BetaBelief(1.5, 2.0)
    points = [(i + 0.5) / 4000 for i in range(4000)]
    density = [
        p ** (prior.successes - 1)
        * (1 - p) ** (prior.failures - 1)
        * math.prod(p**x * (1 - p) ** (1 - x) for x in data)
        for p in points
    ]
    after = prior.after(seen(data))
    mean = sum(d * p for d, p in zip(density, points, strict=True)) / sum(density)
    assert mean == pytest.approx(after.successes / (after.successes + after.failures), abs=1e-5)


@pytest.mark.parametrize(
    ("belief", "mean", "variance"),
    [
        (NormalBelief(0.4, 5.0, 12.0, 0.3), 0.4, 0.3 / 5 * 12 / 10),
        (BetaBelief(3.0, 1.0), 0.75, 3 / (16 * 5)),
    ],
)
def test_draws_have_the_mean_and_variance_of_the_posterior(belief, mean, variance):
    draw = generator(1)
    drawn = [belief.draw(draw) for _ in range(40_000)]
    assert statistics.fmean(drawn) == pytest.approx(mean, abs=0.006)
    assert statistics.pvariance(drawn) == pytest.approx(variance, rel=0.05)


def test_a_draw_that_underflows_is_still_a_number():
    draw = generator(0)
    assert all(math.isfinite(NormalBelief(0, 1, 0.004, 0.1).draw(draw)) for _ in range(300))


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=12))
def test_moments_are_those_of_all_payments(payments):
    moments = seen(payments)
    mean = statistics.fmean(payments)
    size = max(1.0, *(abs(p) for p in payments))
    assert moments.times == len(payments)
    assert moments.mean == pytest.approx(mean, abs=1e-9 * size)
    squares = math.fsum((p - mean) ** 2 for p in payments)
    assert moments.spread == pytest.approx(squares, rel=1e-6, abs=1e-9 * size * size)


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=8),
    st.floats(-1e3, 1e3),
    st.floats(0.01, 1e3),
)
def test_a_range_may_be_laid_over_moments_afterwards(payments, low, width):
    span = Span(low, low + width)
    late, early = seen(payments).within(span), seen([span.share(p) for p in payments])
    assert late == pytest.approx(early, rel=1e-6, abs=1e-6 * (1 + (2e3 / width) ** 2))


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=8))
def test_a_range_holds_what_was_seen_and_stays_itself(payments):
    span = UNSEEN
    for payment in payments:
        span = span.including(payment)
    assert (span.low, span.high) == (min(payments), max(payments))
    assert all(span.including(payment) is span for payment in payments)
    assert Span(2.0, 2.0).share(2.0) == Moments(1, 2.0).within(Span(2.0, 2.0)).mean == 0.5


@given(st.lists(UNIT, min_size=1, max_size=8), st.randoms())
def test_posteriors_do_not_depend_on_the_order_of_payments(payments, rng):
    shuffled = rng.sample(payments, len(payments))
    one, other = NormalBelief().after(seen(payments)), NormalBelief().after(seen(shuffled))
    assert one.center == pytest.approx(other.center, abs=1e-9)
    assert one.scale == pytest.approx(other.scale, abs=1e-9)
    assert BetaBelief().after(seen(payments)).successes == pytest.approx(0.5 + sum(payments))


# ------------------------------------------------------------------------------ choices


@given(
    st.lists(st.tuples(st.integers(0, 20), UNIT), min_size=1, max_size=6),
    st.integers(0, 2**52),
)
def test_a_choice_is_an_arm_and_depends_on_the_seed_only(arms, seed):
    beliefs = [BetaBelief().after(Moments(n, mean)) for n, mean in arms]
    chosen = thompson(beliefs, seed)
    assert 0 <= chosen < len(arms)
    assert chosen == thompson(beliefs, seed)
    found = wider_or_deeper(beliefs[0], beliefs[-1], beliefs, seed)
    assert found is None or 0 <= found < len(arms)
    assert found == wider_or_deeper(beliefs[0], beliefs[-1], beliefs, seed)


@given(st.integers(0, 2**52), st.floats(0.05, 0.4))
def test_arms_that_are_known_well_are_chosen_by_their_means(seed, gap):
    assume(gap > 0.1)
    worse, better = (NormalBelief(0.5 + s * gap / 2, 1e9, 1e9, 1e-6) for s in (-1, 1))
    assert thompson([worse, better, worse], seed) == 1
    assert wider_or_deeper(better, worse, [better], seed) is None
    assert wider_or_deeper(worse, better, [worse, better], seed) == 1


def test_new_children_are_made_as_often_as_their_arm_is_likely_the_better():
    """Of two equal beliefs each wins half; of many children the likelier is gone into more."""
    made = [wider_or_deeper(BetaBelief(), BetaBelief(), [BetaBelief()], s) for s in range(4000)]
    assert made.count(None) == pytest.approx(2000, abs=130)
    arms = [BetaBelief(2, 1), BetaBelief(1, 2)]
    into = [thompson(arms, s) for s in range(4000)]
    assert into.count(0) == pytest.approx(4000 * 5 / 6, abs=100)
