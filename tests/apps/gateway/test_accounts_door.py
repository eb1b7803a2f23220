"""The door: keys, quotas, turns, records and prompts, as the server meets them."""

from __future__ import annotations

import asyncio
import logging
import os
import stat
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")

from sqlalchemy import update
from sqlalchemy.exc import OperationalError

from cogitate.apps.gateway.accounts import (
    ANYONE,
    GONE,
    Accounts,
    Ceiling,
    Forbidden,
    Issued,
    Overloaded,
    Quota,
    QuotaExceeded,
    Unauthorised,
    keyring,
)
from cogitate.apps.gateway.accounts.holds import held_in_all, standing
from cogitate.apps.gateway.accounts.records import newest, prompt_of, sums
from cogitate.apps.gateway.accounts.tables import META, opened
from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Usage

NONE = Ceiling()
USED = Usage(
    tokens_in=30, tokens_cached=20, tokens_out=12, tokens_reasoning=5, calls=3, usd=0.25, seconds=9
)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(30):
            await test()

    asyncio.run(bounded())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "accounts.sqlite"


def add(path: Path, name: str = "ann", **known: Any) -> Issued:
    engine = opened(path)
    with engine.begin() as connection:
        issued = keyring.add(connection, name, now=known.pop("now", time.time()), **known)
    engine.dispose()
    return issued


def ask(path: Path, question: Callable[[Any], Any]) -> Any:
    engine = opened(path, make=False)
    with engine.begin() as connection:
        found = question(connection)
    engine.dispose()
    return found


def bearer(issued: Issued) -> str:
    return f"Bearer {issued.secret}"


async def serve(
    accounts: Accounts, key: str | None, wanted: Ceiling = NONE, usage: Usage = USED, **known: Any
) -> None:
    async with await accounts.admit(key, wanted=wanted) as admission:
        said = {"status": 200, "model": "m", "strategy": "best_of(n=3)", "seconds": 1.5}
        await admission.charge(usage, **(said | known))


# --------------------------------------------------------------------------------------- keys


def test_who_has_no_good_key_is_not_let_in(path: Path) -> None:
    ann, eve = add(path), add(path, "eve")

    async def test() -> None:
        accounts = Accounts.open(path)
        assert (await accounts.identify(bearer(ann))).name == "ann"
        await serve(accounts, bearer(ann))
        swapped = f"cog_{ann.key.id}_{eve.secret[17:]}"
        unknown = f"cog_{'0' * 12}_{ann.secret[17:]}"
        wrong = (None, "", "Bearer", ann.secret, "Bearer x", f"Basic {ann.secret}")
        for sent in (*wrong, f"Bearer {swapped}", f"Bearer {unknown}", f"{bearer(ann)}x"):
            for asking in (accounts.identify(sent), accounts.admit(sent, wanted=NONE)):
                with pytest.raises(Unauthorised) as refused:
                    await asking
                assert refused.value.status == 401
                assert refused.value.headers == {"WWW-Authenticate": "Bearer"}
                assert ann.secret[17:] not in str(refused.value) + repr(refused.value)
        await accounts.close()
        with pytest.raises(Overloaded):
            await accounts.admit(bearer(ann), wanted=NONE)

    run(test)


def test_keys_come_and_go_while_the_server_runs(path: Path) -> None:
    async def test() -> None:
        accounts = Accounts.open(path)
        with pytest.raises(Unauthorised):
            await accounts.admit(None, wanted=NONE)
        ann = add(path)
        await serve(accounts, bearer(ann))  # at once: an unknown key is looked for
        ask(path, lambda connection: keyring.revoke(connection, "ann", time.time()))
        revoked_at = time.monotonic()
        refused = None
        while refused is None:
            try:
                await serve(accounts, bearer(ann))
            except Unauthorised as error:
                refused = error
            await asyncio.sleep(0.02)
        assert "was revoked" in str(refused)
        assert time.monotonic() - revoked_at < 1.0
        again = add(path)
        await serve(accounts, bearer(again))
        await accounts.close()

    run(test)


def test_a_key_revoked_while_its_request_waits_is_not_served(path: Path) -> None:
    ann, bob = add(path, quotas=[Quota("requests", 5)]), add(path, "bob")

    async def test() -> None:
        accounts = Accounts.open(path, slots=1)
        admission = await accounts.admit(bearer(bob), wanted=NONE)
        waiting = asyncio.create_task(accounts.admit(bearer(ann), wanted=NONE))
        await asyncio.sleep(0.1)
        ask(path, lambda connection: keyring.revoke(connection, ann.key.id, time.time()))
        await asyncio.sleep(0.6)
        await admission.close()
        with pytest.raises(Unauthorised, match="while the request waited"):
            await waiting
        assert (accounts.turns.running, accounts.turns.waiting) == (0, 0)
        await accounts.close()

    run(test)
    assert ask(path, held_in_all) == (0, 0)


def test_an_expired_key(path: Path) -> None:
    now = 1_800_000_000.0
    ann = add(path, now=now, expires_at=now + 60)

    async def test() -> None:
        clock = [now]
        accounts = Accounts.open(path, clock=lambda: clock[0])
        await serve(accounts, bearer(ann))
        clock[0] = now + 60
        with pytest.raises(Unauthorised, match="has expired"):
            await accounts.identify(bearer(ann))
        await accounts.close()

    run(test)


def test_what_a_key_may_not_do(path: Path) -> None:
    ann = add(path, models=["small-*"], strategies=["", "best_of*"])
    money = add(path, "money", quotas=[Quota("usd", 1)])

    async def test() -> None:
        accounts = Accounts.open(path)
        await serve(accounts, bearer(ann), Ceiling(model="small-7b", strategy="best_of(n=4)"))
        for wanted, said in (
            (Ceiling(model="large"), "the model 'large'"),
            (Ceiling(model="small-1b", strategy="mcts()"), "the strategy 'mcts"),
        ):
            with pytest.raises(Forbidden, match=said) as refused:
                await accounts.admit(bearer(ann), wanted=wanted)
            assert refused.value.status == 403
        with pytest.raises(Forbidden, match=r"a quota of usd.*is unknown"):
            await accounts.admit(bearer(money), wanted=Ceiling(10, 10, None))
        await accounts.close()

    run(test)
    statuses = [row["status"] for row in ask(path, lambda c: newest(c, 9))]
    assert sorted(statuses) == [200, 403, 403]
    assert ask(path, lambda c: sums(c))[0].requests == 4, "two refusals share a row"


# -------------------------------------------------------------------------------------- quotas


def test_quotas_hold_over_two_servers_at_once(path: Path) -> None:
    ann = add(path, quotas=[Quota("tokens_out", 300, "day"), Quota("requests", 1000)])

    async def test() -> None:
        servers = [Accounts.open(path, slots=16) for _ in range(2)]
        await asyncio.sleep(0.5)  # until they know of each other
        let_in: list[int] = []
        refused: list[QuotaExceeded] = []

        async def client(i: int) -> None:
            try:
                usage = Usage(tokens_out=10, calls=1)
                await serve(servers[i % 2], bearer(ann), Ceiling(0, 10), usage)
                let_in.append(i)
            except QuotaExceeded as error:
                refused.append(error)

        async with asyncio.TaskGroup() as group:
            for i in range(120):
                group.create_task(client(i))
        assert len(let_in) <= 30
        assert len(let_in) + len(refused) == 120
        for _ in range(60):  # what one server held ahead comes back to the other
            if len(let_in) == 30:
                break
            await asyncio.sleep(0.05)
            for i in range(2):
                await client(i)
        assert len(let_in) == 30
        for error in refused:
            assert error.status == 429
            assert error.code == "rate_limit_exceeded"
            assert 1 <= int(error.headers["Retry-After"]) <= 86_400
        for accounts in servers:
            await accounts.close()

    run(test)
    assert ask(path, held_in_all) == (0, 0)
    found = ask(path, lambda c: standing(c, ann.key.id, time.time()))
    assert found["day"]["used"]["tokens_out"] == 300


def test_a_quota_for_ever_says_that_waiting_is_vain(path: Path) -> None:
    ann = add(path, quotas=[Quota("usd", 0.3)])

    async def test() -> None:
        accounts = Accounts.open(path)
        await serve(accounts, bearer(ann), Ceiling(usd=0.3))
        with pytest.raises(QuotaExceeded) as refused:
            await accounts.admit(bearer(ann), wanted=Ceiling(usd=0.1))
        assert (refused.value.code, refused.value.headers) == ("insufficient_quota", {})
        await serve(accounts, bearer(ann), Ceiling(usd=0.05), Usage(usd=None))
        with pytest.raises(QuotaExceeded):  # what nobody knows was counted as what was held for it
            await accounts.admit(bearer(ann), wanted=Ceiling(usd=0.000001))
        await accounts.close()

    run(test)


def test_concurrency_of_a_key(path: Path) -> None:
    ann = add(path, concurrency=2)

    async def test() -> None:
        accounts = Accounts.open(path)
        first, second = [await accounts.admit(bearer(ann), wanted=NONE) for _ in range(2)]
        for _ in range(3):
            with pytest.raises(QuotaExceeded) as refused:
                await accounts.admit(bearer(ann), wanted=NONE)
            assert refused.value.retry_after_s == 1
        await first.close()
        await first.close()
        async with await accounts.admit(bearer(ann), wanted=NONE):
            with pytest.raises(QuotaExceeded):
                await accounts.admit(bearer(ann), wanted=NONE)
        await second.close()
        await accounts.close()

    run(test)
    assert ask(path, held_in_all) == (0, 0)


def test_without_a_charge_everything_is_given_back(path: Path) -> None:
    ann = add(path, quotas=[Quota("tokens", 100)], concurrency=1)

    async def test() -> None:
        accounts = Accounts.open(path)
        for _ in range(5):
            with pytest.raises(ZeroDivisionError):
                async with await accounts.admit(bearer(ann), wanted=Ceiling(60, 40)):
                    raise ZeroDivisionError
        await serve(accounts, bearer(ann), Ceiling(60, 40), USED)
        admission = await accounts.admit(bearer(ann), wanted=Ceiling(20, 38))
        said = {"status": 200, "model": "m", "strategy": "", "seconds": 1.0}
        await admission.charge(Usage(tokens_out=1), **said)
        with pytest.raises(RuntimeError, match="once"):
            await admission.charge(Usage(tokens_out=1), **said)
        await admission.close()
        await accounts.close()

    run(test)
    found = ask(path, lambda c: standing(c, ann.key.id, time.time()))
    assert found["total"]["used"]["tokens"] == 43
    assert ask(path, held_in_all) == (0, 0)
    statuses = [row["status"] for row in ask(path, lambda c: newest(c, 99))]
    assert sorted(statuses) == [200, 200, *[GONE] * 5]


def test_whoever_goes_away_while_waiting_gives_everything_back(path: Path) -> None:
    ann = add(path, quotas=[Quota("tokens", 100)])

    async def test() -> None:
        accounts = Accounts.open(path, slots=1)
        admission = await accounts.admit(bearer(ann), wanted=Ceiling(1, 1))
        for pause in (0.0, 0.0, 0.001, 0.1):  # before the hold is there, and in the queue
            waiting = asyncio.create_task(accounts.admit(bearer(ann), wanted=Ceiling(50, 40)))
            await asyncio.sleep(pause)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
        await admission.close()
        await serve(accounts, bearer(ann), Ceiling(60, 40), Usage())
        assert (accounts.turns.running, accounts.turns.waiting) == (0, 0)
        await accounts.close()

    run(test)
    assert ask(path, held_in_all) == (0, 0)


def test_letting_in_costs_well_under_a_millisecond(path: Path) -> None:
    ann = add(path, quotas=[Quota("tokens", 10**9, "day"), Quota("usd", 100)], concurrency=50)

    async def test() -> None:
        accounts = Accounts.open(path)
        took: list[float] = []
        for _ in range(400):
            began = time.perf_counter()
            await serve(accounts, bearer(ann), Ceiling(50, 50, 0.001), Usage(usd=0.0001, calls=1))
            took.append(time.perf_counter() - began)
            await asyncio.sleep(0)
        await accounts.close()
        assert statistics.median(took) < 0.0005

    run(test)
    found = ask(path, lambda c: sums(c))[0]
    assert (found.requests, round(found.usd_known, 6)) == (400, 0.04), "and no record is lost"


# ------------------------------------------------------------------------------ records, prompts


def test_every_request_leaves_a_record(path: Path) -> None:
    ann = add(path)

    async def test() -> None:
        accounts = Accounts.open(path, clock=lambda: 1_800_000_000.0)
        async with await accounts.admit(bearer(ann), wanted=NONE, request_id="req_1") as admission:
            assert (admission.id, admission.key.name) == ("req_1", "ann")
            await admission.charge(USED, status=200, model="m", strategy="beam()", seconds=2.5)
        unknown = Usage(tokens_out=1, usd=None, estimated=True)
        await serve(accounts, bearer(ann), usage=unknown, status=504)
        await accounts.close()

    run(test)
    second, first = ask(path, lambda c: newest(c, 9))
    assert first == {
        **{"id": "req_1", "at": 1_800_000_000.0, "key_id": ann.key.id, "key": "ann"},
        **{"model": "m", "strategy": "beam()", "status": 200, "requests": 1},
        **{"tokens_in": 30, "tokens_cached": 20, "tokens_out": 12, "tokens_reasoning": 5},
        **{"calls": 3, "usd": 0.25, "estimated": False, "seconds": 2.5},
    }
    assert second["id"].startswith("req_")
    assert (second["status"], second["usd"], second["estimated"]) == (504, None, True)
    total = ask(path, lambda c: sums(c))[0]
    assert (total.usage.usd, total.usd_known, total.usd_unknown) == (None, 0.25, 1)
    assert total.usage.estimated
    by = ask(path, lambda c: sums(c, ("key", "day", "status")))
    assert [row.by for row in by] == [
        (("key", "ann"), ("day", "2027-01-15"), ("status", "200")),
        (("key", "ann"), ("day", "2027-01-15"), ("status", "504")),
    ]
    assert ask(path, lambda c: sums(c, since=1_800_000_001.0))[0].requests == 0


def test_no_record_keeps_others_from_being_written(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ann = add(path)
    broken = Usage(tokens_in=2**70)

    async def test() -> None:
        accounts = Accounts.open(path)
        for model, usage in (
            ("a", USED),
            ("b", broken),
            ("\ud800\0" + "x" * 999, Usage(usd=1e999)),
        ):
            await serve(accounts, bearer(ann), usage=usage, model=model)
        await accounts.close()

    run(test)
    found = [row["model"] for row in ask(path, lambda c: newest(c, 9))]
    assert found == ["?\ufffd" + "x" * 298, "a"]
    assert "could not be written: OverflowError" in caplog.text


def everything(path: Path) -> bytes:
    return b"".join(p.read_bytes() for p in path.parent.iterdir() if p.is_file())


def test_prompts_are_kept_only_when_asked_for_and_no_longer_than_said(path: Path) -> None:
    ann = add(path)
    prompt = {"messages": [{"role": "user", "content": "a very private \u2603 question"}]}
    now = [1_800_000_000.0]

    async def one(id: str, **known: Any) -> None:
        accounts = Accounts.open(path, clock=lambda: now[0], **known)
        async with await accounts.admit(bearer(ann), wanted=NONE, request_id=id) as admission:
            await admission.charge(
                USED, status=200, model="m", strategy="", seconds=1, prompt=prompt
            )
        await accounts.close()

    run(lambda: one("off"))
    assert b"private" not in everything(path)
    run(lambda: one("on", prompt_days=7))
    assert ask(path, lambda c: prompt_of(c, "on")) == prompt
    assert ask(path, lambda c: prompt_of(c, "off")) is None
    now[0] += 6.9 * 86_400
    run(lambda: one("later", prompt_days=7))
    assert ask(path, lambda c: prompt_of(c, "on")) == prompt
    now[0] += 0.2 * 86_400
    run(lambda: one("last", prompt_days=7))
    assert ask(path, lambda c: prompt_of(c, "on")) is None
    assert ask(path, lambda c: prompt_of(c, "later")) == prompt
    assert ask(path, lambda c: sums(c))[0].requests == 4, "the records stay"
    with pytest.raises(InvalidInput, match="above 0"):
        Accounts.open(path, prompt_days=0)


def test_secrets_are_nowhere(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    ann = add(path, quotas=[Quota("requests", 1)])
    said: list[str] = []

    async def test() -> None:
        accounts = Accounts.open(path, prompt_days=1)
        async with await accounts.admit(bearer(ann), wanted=NONE) as admission:
            await admission.charge(USED, status=200, model="m", strategy="", seconds=1, prompt="?")
            said.extend((repr(admission), repr(admission.key), repr(vars(admission))))
        with pytest.raises(QuotaExceeded) as refused:
            await accounts.admit(bearer(ann), wanted=NONE)
        said.extend((str(refused.value), repr(refused.value)))
        said.extend((repr(accounts), repr(vars(accounts)), repr(ann), str(ann)))
        await accounts.close()

    run(test)
    said += [record.getMessage() for record in caplog.records]
    assert ann.secret[17:] not in "\n".join(said)
    assert ann.secret[17:].encode() not in everything(path)
    assert ann.key.id.encode() in everything(path)


# ----------------------------------------------------------------------------------- the database


def test_without_keys(path: Path) -> None:
    async def test() -> None:
        accounts = Accounts.none(slots=1, waiting=0)
        async with await accounts.admit(None, wanted=NONE) as admission:
            assert admission.key is ANYONE
            with pytest.raises(Overloaded):
                await accounts.admit("Bearer whatever", wanted=NONE)
            await admission.charge(USED, status=200, model="m", strategy="", seconds=1)
        await accounts.close()
        counted = Accounts.open(path, needs_keys=False)
        await serve(counted, None)
        await counted.close()

    run(test)
    assert ask(path, lambda c: sums(c, ("key",)))[0].by == (("key", "anyone"),)


def test_the_file_is_its_owners(tmp_path: Path) -> None:
    path = tmp_path / "made" / "for" / "it" / "a.sqlite"
    opened(path).dispose()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) & 0o077 == 0
    path.chmod(0o644)
    engine = opened(str(path))
    with engine.begin():
        for file in path.parent.iterdir():
            assert stat.S_IMODE(file.stat().st_mode) & 0o077 == 0, file
    engine.dispose()


def test_the_default_place_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.name != "posix":
        pytest.skip("where data lies is told by this variable on Linux only")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    engine = opened(None)
    assert str(tmp_path) in str(engine.url)
    engine.dispose()


def test_what_is_no_database_of_ours_is_refused(path: Path, tmp_path: Path) -> None:
    engine = opened(path)
    with engine.begin() as connection:
        connection.execute(update(META).where(META.c.name == "schema").values(value=99))
    engine.dispose()
    with pytest.raises(InvalidInput, match="have version 99 and this program knows 1"):
        opened(path)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(b"no database at all" * 100)
    with pytest.raises(InvalidInput, match="not a database"):
        opened(damaged)
    with pytest.raises(InvalidInput, match="there are no accounts"):
        opened(tmp_path / "missing", make=False)
    assert not (tmp_path / "missing").exists()
    for url, reason in (
        ("sqlite://", "name a file"),
        ("sqlite:///:memory:", "name a file"),
        ("nodriver://ann:hunter2@host/name", "needs a driver"),
        ("://x", "cannot be read"),
    ):
        with pytest.raises(InvalidInput, match=reason) as refused:
            opened(url)
        assert "hunter2" not in str(refused.value)


def test_a_database_that_is_away_is_said_and_comes_back(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ann, free = add(path, quotas=[Quota("requests", 10)]), add(path, "free")

    async def test() -> None:
        accounts = Accounts.open(path)
        await serve(accounts, bearer(free))
        engine = accounts._desk._writer.engine  # pyright: ignore
        begin = engine.begin

        def away() -> Any:
            raise OperationalError("select secret", {}, Exception("the disk is on holiday"))

        engine.begin = away
        with pytest.raises(Overloaded, match="cannot be used now") as refused:
            await accounts.admit(bearer(ann), wanted=NONE)
        assert refused.value.status == 503
        assert accounts.turns.running == 0
        await serve(accounts, bearer(free))  # needs no quota, and its key is known
        engine.begin = begin
        await serve(accounts, bearer(ann))
        await accounts.close()

    run(test)
    assert "the disk is on holiday" in caplog.text
    assert "select secret" not in caplog.text
    assert ask(path, lambda c: sums(c))[0].requests == 4, "the records waited, and none is lost"


def test_nobody_is_let_in_by_keys_that_were_not_looked_at_for_long(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = add(path)

    async def test() -> None:
        accounts = Accounts.open(path)
        monkeypatch.setattr("cogitate.apps.gateway.accounts.desk._STALE_S", -1.0)
        with pytest.raises(Overloaded, match="cannot be read"):
            await accounts.admit(bearer(ann), wanted=NONE)
        await accounts.close()

    run(test)


def test_a_name_is_taken_until_its_key_is_revoked(path: Path) -> None:
    first = add(path)
    with pytest.raises(InvalidInput, match="exists; revoke it first"):
        add(path)
    ask(path, lambda c: keyring.revoke(c, "ann", 5.0))
    second = add(path)
    assert ask(path, lambda c: keyring.find(c, "ann")).id == second.key.id
    assert ask(path, lambda c: keyring.revoke(c, first.key.id, 9.0)).revoked_at == 5.0
    for name in ("", " ", "x" * 101, "a\nb", first.secret):
        with pytest.raises(InvalidInput) as refused:
            add(path, name)
        assert first.secret[17:] not in str(refused.value)
    with pytest.raises(InvalidInput, match="at least 1"):
        add(path, "bob", concurrency=0)
    with pytest.raises(InvalidInput, match="already expired"):
        add(path, "bob", expires_at=1.0)
