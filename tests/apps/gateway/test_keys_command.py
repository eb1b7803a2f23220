"""`cogitate keys` and `cogitate usage`."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy")
sys.path.insert(0, str(Path(__file__).parents[1]))
from cli_harness import Command

from cogitate.apps.gateway.accounts import Accounts, Ceiling, QuotaExceeded
from cogitate.core.usage import Usage

DB = "--db", "accounts.sqlite"


@pytest.fixture
def cogitate(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "150")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return Command(capsys)


def serve(key: str, *uses: tuple[str, str, Usage, int], path: str = "accounts.sqlite") -> None:
    """A short life of a gateway: what `uses` says, by model, strategy, usage and status."""

    async def live() -> None:
        accounts = Accounts.open(path, prompt_days=3)
        try:
            for i, use in enumerate(uses):
                await one(accounts, i, *use)
        finally:
            await accounts.close()

    async def one(accounts: Accounts, i: int, model: str, strategy: str, *rest: Any) -> None:
        wanted = Ceiling(1000, 1000, 1.0, model, strategy)
        async with await accounts.admit(
            f"Bearer {key}", wanted=wanted, request_id=f"req_{i}"
        ) as admission:
            usage, status = rest
            prompt = {"messages": [f"question {i}"]}
            said = {"model": model, "strategy": strategy, "seconds": 0.5, "prompt": prompt}
            await admission.charge(usage, status=status, **said)

    asyncio.run(live())


USES = (
    ("small", "best_of(n=3)", Usage(tokens_in=100, tokens_out=40, calls=3, usd=0.5), 200),
    ("small", "", Usage(tokens_in=50, tokens_out=9, calls=1, usd=None, estimated=True), 504),
    ("large", "", Usage(tokens_in=10, tokens_out=1, tokens_reasoning=1, calls=1, usd=0.25), 200),
)


def test_a_key_is_shown_once_and_alone_on_its_line(cogitate: Command) -> None:
    said = cogitate("keys", "add", "ann", *DB, "--quota", "usd=5/month", "--concurrency", "2")
    assert said.status == 0
    assert said.out.startswith("cog_")
    assert len(said.out.split()) == 1
    secret = said.out.strip()
    assert secret not in said.err
    assert "not shown again" in said.err
    assert '[gateway] accounts names them: "sqlite:///accounts.sqlite"' in said.err
    serve(secret, USES[0])
    for shown in (cogitate("keys", *DB), cogitate("keys", "list", *DB, "--json")):
        assert secret[17:] not in shown.out + shown.err
        assert secret[4:16] in shown.out
    found = cogitate("keys", *DB, "list", "--json").json
    assert [key["name"] for key in found] == ["ann"]
    assert found[0]["quotas"] == [{"unit": "usd", "amount": 5.0, "window": "month"}]
    assert found[0]["standing"]["month"]["used"]["usd"] == 0.5
    assert found[0]["standing"]["now"]["held"]["requests"] == 0
    assert "usd 0.5 + 0 of 5/month" in cogitate("keys", "list", *DB).out


def test_every_bound_of_a_key_is_kept(cogitate: Command) -> None:
    made = cogitate(
        *("keys", "add", "bob", *DB, "--json", "--quota", "tokens_out=1_000/day"),
        *("--quota", "requests=60/minute", "--model", "small-*", "--strategy", ""),
        *("--expires", "2d"),
    ).json
    assert made["key"].startswith(f"cog_{made['id']}_")
    assert made["database"] == "sqlite:///accounts.sqlite"
    assert [(q["unit"], q["amount"], q["window"]) for q in made["quotas"]] == [
        ("tokens_out", 1000.0, "day"),
        ("requests", 60.0, "minute"),
    ]
    assert (made["models"], made["strategies"], made["concurrency"]) == (["small-*"], [""], None)
    assert made["expires_at"] == pytest.approx(time.time() + 2 * 86_400, abs=60)
    shown = cogitate("keys", "list", *DB).out
    for part in ("tokens_out 0 + 0 of 1000/day", "(none) (strategy)", "small-*", "usable"):
        assert part in shown


def test_a_revoked_key_is_listed_only_when_asked_for(cogitate: Command) -> None:
    secret = cogitate("keys", "add", "ann", *DB).out.strip()
    cogitate("keys", "add", "bob", *DB)
    assert "refused from now on" in cogitate("keys", "revoke", "ann", *DB).out
    assert [key["name"] for key in cogitate("keys", "list", *DB, "--json").json] == ["bob"]
    every = cogitate("keys", "list", "--all", *DB, "--json").json
    assert [(key["name"], key["state"]) for key in every] == [("ann", "revoked"), ("bob", "usable")]
    assert cogitate("keys", "revoke", every[1]["id"], *DB, "--json").json["state"] == "revoked"
    assert "no keys" in cogitate("keys", "list", *DB).out
    with pytest.raises(Exception, match="was revoked"):
        serve(secret, USES[0])


def test_a_quota_of_the_command_line_binds(cogitate: Command) -> None:
    secret = cogitate("keys", "add", "ann", *DB, "--quota", "requests=2/day").out.strip()
    serve(secret, *USES[:2])
    with pytest.raises(QuotaExceeded, match="2 requests a day; 2 are used"):
        serve(secret, USES[2])
    refused = cogitate("usage", *DB, "--by", "status", "--json").json
    assert [(row["status"], row["requests"]) for row in refused["rows"]] == [
        ("200", 1),
        ("429", 1),
        ("504", 1),
    ]


def test_usage_by_key_day_and_model(cogitate: Command) -> None:
    secret = cogitate("keys", "add", "ann", *DB).out.strip()
    other = cogitate("keys", "add", "bob", *DB).out.strip()
    serve(secret, *USES)
    serve(other, USES[0])
    found = cogitate("usage", *DB, "--json").json
    day = time.strftime("%Y-%m-%d", time.gmtime())
    keys = [(row["key"], row["day"], row["model"], row["requests"]) for row in found["rows"]]
    assert keys == sorted(keys, key=lambda row: (row[0] not in keys[0], row[1:3]))
    assert sorted(keys) == [
        ("ann", day, "large", 1),
        ("ann", day, "small", 2),
        ("bob", day, "small", 1),
    ]
    small = next(row for row in found["rows"] if row["key"] == "ann" and row["model"] == "small")
    assert (small["tokens_in"], small["tokens_out"], small["calls"]) == (150, 49, 4)
    assert (small["usd"], small["usd_known"], small["usd_unknown"]) == (None, 0.5, 1)
    assert small["estimated"]
    assert (found["total"]["requests"], found["total"]["seconds"]) == (4, 2.0)
    shown = cogitate("usage", *DB).out
    for part in ("ann", "bob", "large", "all", "$0.5000 + unknown", "some of it is estimated"):
        assert part in shown
    only = cogitate("usage", *DB, "--key", "bob", "--by", "strategy", "--json").json
    assert [(row["strategy"], row["requests"]) for row in only["rows"]] == [("best_of(n=3)", 1)]
    assert cogitate("usage", *DB, "--until", "1d", "--json").json["total"]["requests"] == 0
    assert cogitate("usage", *DB, "--since", day, "--json").json["total"]["requests"] == 4
    assert "no requests" in cogitate("usage", *DB, "--since", "2100-01-01").out


def test_records_and_prompts(cogitate: Command) -> None:
    secret = cogitate("keys", "add", "ann", *DB).out.strip()
    serve(secret, *USES)
    found = cogitate("usage", *DB, "--last", "2", "--json").json
    assert [(row["id"], row["status"]) for row in found] == [("req_2", 200), ("req_1", 504)]
    assert "req_2" in cogitate("usage", *DB, "--last", "1").out
    one = cogitate("usage", *DB, "--request", "req_1").json
    assert one["prompt"] == {"messages": ["question 1"]}
    assert one["usd"] is None
    assert "no record" in cogitate.refused("usage", *DB, "--request", "req_9")
    assert cogitate("usage", *DB, "--purge-prompts", "1", "--json").json == {"dropped": 0}
    assert "3 prompts dropped" in cogitate("usage", *DB, "--purge-prompts", "0").out
    assert cogitate("usage", *DB, "--request", "req_1").json["prompt"] is None


def test_the_configuration_names_the_database(
    cogitate: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cogitate.toml").write_text("[gateway]\naccounts = 'sqlite:///named.sqlite'\n")
    said = cogitate("keys", "add", "ann")
    assert "the gateway asks" not in said.err
    assert (tmp_path / "named.sqlite").exists()
    (tmp_path / "cogitate.toml").write_text("[gateway]\naccounts_variable = 'MY_ACCOUNTS'\n")
    monkeypatch.setenv("MY_ACCOUNTS", "sqlite:///named.sqlite")
    assert [key["name"] for key in cogitate("keys", "list", "--json").json] == ["ann"]
    (tmp_path / "cogitate.toml").unlink()
    assert "there are no accounts" in cogitate.refused("keys", "list")
    assert "the gateway asks" in cogitate("keys", "add", "eve").err
    assert [key["name"] for key in cogitate("keys", "list", "--json").json] == ["eve"]
    assert [p.name for p in (tmp_path / "data").rglob("*.sqlite")] == ["gateway.sqlite"]


def test_what_cannot_be_done_is_one_sentence(cogitate: Command, tmp_path: Path) -> None:
    secret = cogitate("keys", "add", "ann", *DB).out.strip()
    refused = cogitate.refused
    assert "exists; revoke it first" in refused("keys", "add", "ann", *DB)
    assert "UNIT=AMOUNT/WINDOW" in refused("keys", "add", "bob", *DB, "--quota", "much")
    assert "no moment" in refused("keys", "add", "bob", *DB, "--expires", "soon")
    assert "already expired" in refused("keys", "add", "bob", *DB, "--expires", "2020-01-01")
    assert "there is no key 'carl'" in refused("keys", "revoke", "carl", *DB)
    whole = refused("keys", "revoke", secret, *DB)
    assert "a whole key was given" in whole
    assert secret not in whole
    assert "there are no accounts" in refused("usage", "--db", "missing.sqlite")
    assert not (tmp_path / "missing.sqlite").exists(), "looking makes nothing"
    assert "summed by key, day" in refused("usage", *DB, "--by", "colour")
    assert "at least 0" in refused("usage", *DB, "--purge-prompts", "-1")
    assert "at least 1" in refused("usage", *DB, "--last", "0")
    assert "not allowed with" in refused("usage", *DB, "--last", "1", "--request", "x", status=2)
    masked = refused("keys", "list", "--db", "nodriver://ann:hunter2@host/name")
    assert "hunter2" not in masked
    assert "needs a driver" in masked


@pytest.mark.parametrize(
    "command", [("keys",), ("keys", "add"), ("keys", "list"), ("keys", "revoke"), ("usage",)]
)
def test_the_help_teaches(cogitate: Command, command: tuple[str, ...]) -> None:
    said = cogitate(*command, "--help")
    assert said.status == 0
    assert f"examples:\n  cogitate {' '.join(command)}" in said.out
    assert "--json" in said.out
    assert "--db URL" in said.out


def test_without_the_extra_it_is_said(cogitate: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [
        name for name in sys.modules if name.startswith("cogitate.apps.gateway.accounts.")
    ]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sqlalchemy", None)
    assert "pip install 'cogitate[gateway]'" in cogitate.refused("keys", "list", *DB)
