"""Quotas, windows, ceilings and keys as plain values."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogitate.apps.gateway.accounts import Ceiling, Key, Quota
from cogitate.apps.gateway.accounts.keys import digest, fresh, presented, same
from cogitate.apps.gateway.accounts.moments import moment
from cogitate.apps.gateway.accounts.quotas import (
    MOST,
    NOW,
    UNBOUNDED,
    UNITS,
    WINDOWS,
    end_of,
    limits,
    nanodollars,
    spent,
    start_of,
    to_hold,
)
from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Usage

DAY = 86_400.0


@given(
    st.sampled_from(UNITS), st.integers(0, 10**6), st.sampled_from(WINDOWS), st.integers(0, 10**6)
)
def test_quotas_read_back(unit: str, amount: int, window: str, cents: int) -> None:
    quota = Quota(unit, cents / 100 if unit == "usd" else amount, window)
    assert Quota.read(str(quota)) == quota


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("tokens", "UNIT=AMOUNT/WINDOW"),
        ("tokens=-1/day", "UNIT=AMOUNT/WINDOW"),
        ("tokens=1..5", "no number"),
        ("tokens=1.5", "whole unless it is money"),
        ("tokens=1e300", "whole unless"),
        ("words=5/day", "a quota counts requests"),
        ("usd=5/week", "the windows are minute"),
        ("usd=1e9", "is a number from 0"),
    ],
)
def test_what_is_no_quota_is_said(text: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said.replace("+", r"\+")):
        Quota.read(text)


@given(st.floats(0, 4e9), st.sampled_from(WINDOWS[:-1]))
def test_a_moment_lies_in_its_window_and_windows_touch(now: float, window: str) -> None:
    start, end = start_of(window, now), end_of(window, now)
    assert end is not None
    assert start <= now < end
    assert start_of(window, start) == start
    assert start_of(window, end) == end
    assert start_of(window, end - 0.5) == start


def test_windows_of_the_calendar() -> None:
    march = 1_772_323_200  # 2026-03-01
    assert start_of("month", march + 30.9 * DAY) == march
    assert end_of("month", march) == march + 31 * DAY
    assert start_of("month", march - 1) == march - 28 * DAY
    assert (start_of("total", 5e9), end_of("total", 5e9)) == (0, None)


@given(st.lists(st.floats(0, 100), max_size=8))
def test_money_is_counted_exactly_and_never_forgotten(amounts: list[float]) -> None:
    whole = [nanodollars(amount) for amount in amounts]
    for amount, counted in zip(amounts, whole, strict=True):
        assert counted >= amount * 1e9 * (1 - 1e-12) - 0.001
        assert counted <= amount * 1e9 + 1.001
    assert nanodollars(0.1 + 0.2) == nanodollars(0.3)
    assert nanodollars(1e-12) in (0, 1)
    assert nanodollars(2e-12) == 1


def test_the_tightest_quota_of_a_window_binds() -> None:
    found = limits([Quota("usd", 2, "day"), Quota("usd", 1, "day"), Quota("tokens", 9)], 3)
    assert [window for window, _ in found] == [NOW, "day", "total"]
    assert found[0][1][0] == 3
    assert found[1][1] == (UNBOUNDED, UNBOUNDED, UNBOUNDED, 10**9)
    assert found[2][1] == (UNBOUNDED, 9, UNBOUNDED, UNBOUNDED)


def test_only_what_is_bounded_is_held_and_counted() -> None:
    bounds = limits([Quota("tokens", 1000)], None)
    wanted = Ceiling(tokens_in=30, tokens_out=10**30, usd=None)
    held, unknown = to_hold(wanted, bounds)
    assert (held, unknown) == ((1, MOST + 1, 0, 0), "")
    assert spent(Usage(tokens_in=3, tokens_out=4, usd=1.0), held, bounds) == (1, 7, 0, 0)


def test_what_nobody_knows_cannot_be_held() -> None:
    money = limits([Quota("usd", 1)], None)
    assert to_hold(Ceiling(5, 5, None), money)[1] == "usd"
    assert to_hold(Ceiling(None, 5, 1.0), limits([Quota("tokens", 9)], None))[1] == "tokens"
    assert to_hold(Ceiling(None, 5, 1.0), limits([Quota("tokens_out", 9)], None))[1] == ""
    held = to_hold(Ceiling(5, 5, 0.25), money)[0]
    for unknown in (None, float("nan"), float("inf")):
        assert spent(Usage(usd=unknown), held, money)[3] == 250_000_000, "as much as was held"
    with pytest.raises(InvalidInput, match="at least 0"):
        Ceiling(tokens_out=-1)


def test_keys_are_random_and_kept_as_a_hash() -> None:
    made = [fresh() for _ in range(50)]
    assert len({secret for _, secret in made}) == 50
    public, secret = made[0]
    assert secret.startswith(f"cog_{public}_")
    assert len(base64.urlsafe_b64decode(secret[17:] + "=")) == 32
    assert secret not in digest(secret)
    assert same(secret, digest(secret))
    assert not same(secret[:-1] + ("A" if secret[-1] != "A" else "B"), digest(secret))
    assert presented(f"bearer  {secret} ") == (public, secret)
    for wrong in (None, "", secret, f"Basic {secret}", f"Bearer {secret}x", "Bearer " + "x" * 999):
        assert presented(wrong) is None


def test_patterns_of_models_and_strategies() -> None:
    key = Key("1", "ann", models=("small-*", "gpt?"), strategies=("", "best_of*"))
    assert key.allows(model="small-7b", strategy="") == ""
    assert key.allows(model="gpt5", strategy="best_of(n=8)") == ""
    assert key.allows(model="large", strategy="") == "model"
    assert key.allows(model="gpt5", strategy="beam_search(width=4)") == "strategy"
    assert Key("1", "ann").allows(model="anything", strategy="mcts()") == ""


def test_moments() -> None:
    now = 1_000_000.0
    assert moment("2d", now, ahead=True) == now + 2 * DAY
    assert moment("90m", now, ahead=False) == now - 5400
    assert moment("1970-01-02T01:00+01:00", now, ahead=True) == DAY
    for wrong in ("soon", "-3d", "3y", "2026-13-01", ""):
        with pytest.raises(InvalidInput, match="no moment"):
            moment(wrong, now, ahead=True)
