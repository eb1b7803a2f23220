"""`cogitate keys`: who may use the gateway, and how much."""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cogitate.apps.output import add_command, console, print_json

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

    from cogitate.apps.gateway.accounts import Key

_ADD = (
    "  cogitate keys add ann\n"
    "  cogitate keys add team --quota tokens_out=100000/day --quota requests=60/minute --concurrency 4\n"
    "  cogitate keys add trial --quota usd=5 --expires 30d --model 'small-*'"
)


def register(subcommands: Any) -> None:
    """Add the subcommands."""
    command = add_command(
        subcommands,
        "keys",
        "keys of the gateway: add, list, revoke",
        "Keys let programs use the gateway (`cogitate serve`), each within its own quotas. A key is shown "
        "once, when it is made; only a hash of it is kept. What is added or revoked here holds within a second "
        "for every server on the same database, without a restart.",
        f"  cogitate keys list\n{_ADD}\n  cogitate keys revoke ann",
    )
    command.set_defaults(execute=execute_list, all=False)
    add_database(command)
    inner = command.add_subparsers(dest="action", metavar="ACTION")
    _register_add(inner)
    listed = add_command(
        inner,
        "list",
        "the keys with what they have used",
        "Every key with its quotas and how much of each is used or held by requests in flight in the window that "
        "runs now. The keys themselves cannot be shown again.",
        "  cogitate keys list\n  cogitate keys list --all --json",
    )
    listed.add_argument("--all", action="store_true", help="those revoked or expired, too")
    add_database(listed, inner=True)
    listed.set_defaults(execute=execute_list)
    revoked = add_command(
        inner,
        "revoke",
        "let a key in no more",
        "From now on a key is refused, within a second by servers that run; requests in flight may end. Its "
        "usage stays in the records. A revoked key cannot be used again: add a new one.",
        "  cogitate keys revoke ann\n  cogitate keys revoke 3f9ac04be112",
    )
    revoked.add_argument("key", metavar="NAME_OR_ID", help="never the key itself")
    add_database(revoked, inner=True)
    revoked.set_defaults(execute=execute_revoke)


def _register_add(inner: Any) -> None:
    command = add_command(
        inner,
        "add",
        "make a key, and show it this once",
        "Make a key and print it on standard output, and nothing else there. Keep it safe: it cannot be shown "
        "again.\n\nA quota is UNIT=AMOUNT/WINDOW, and there may be several. Units: requests; tokens (input and "
        "output tokens of all roles); tokens_out (output tokens of all roles); usd. Windows, in UTC: minute, hour, "
        "day, month, or none for the whole life of the key. What a request may cost at most is held before it "
        "begins and settled when it ends, so no number of requests at once can exceed a quota; a request that "
        "does not fit is answered 429 with Retry-After.",
        _ADD,
    )
    command.add_argument("name", help="what to call it, such as the name of a person or program")
    command.add_argument(
        "--quota", action="append", default=[], metavar="UNIT=AMOUNT/WINDOW", help="may be repeated"
    )
    command.add_argument("--concurrency", type=int, metavar="N", help="requests at once at most")
    command.add_argument(
        "--expires", metavar="WHEN", help="a day such as 2027-01-31, or a span such as 30d"
    )
    command.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="PATTERN",
        help="a model it may use, `*` and `?` as in file names; may be repeated (default: all)",
    )
    command.add_argument(
        "--strategy",
        action="append",
        default=[],
        metavar="PATTERN",
        help="a strategy it may use, such as 'best_of*'; an empty one is the plain pass-through (default: all)",
    )
    add_database(command, inner=True)
    command.set_defaults(execute=execute_add)


def add_database(command: argparse.ArgumentParser, *, inner: bool = False) -> None:
    """The options that say which database is meant."""
    # An inner command keeps what its outer one was given: `keys --db PATH list`.
    default = argparse.SUPPRESS if inner else None
    command.add_argument(
        "--db",
        default=default,
        metavar="URL",
        help="the database: a path, sqlite:///PATH or postgresql+psycopg://… (default: [gateway] accounts of "
        "the configuration, else one in your data directory)",
    )
    command.add_argument(
        "--config", type=Path, default=default, help="configuration file (default: cogitate.toml)"
    )


def database(chosen: argparse.Namespace) -> tuple[str | None, bool]:
    """Which database is meant, and whether the gateway's configuration names it; `None`: the default."""
    from cogitate.assembly import load

    held = load(chosen.config) if chosen.config else load()
    settings = held.gateway
    named = settings.accounts
    if settings.accounts_variable:
        named = held.key(settings.accounts_variable)
    return chosen.db or named or None, bool(named) and chosen.db in (None, named)


@contextlib.contextmanager
def connected(
    where: str | None, *, make: bool = False, reads: bool = True
) -> Generator[Connection]:
    """A transaction in the database of the accounts.

    Raises:
        InvalidInput: where it cannot be used, or the extra is not installed.
    """
    from cogitate.core.errors import InvalidInput

    try:
        from sqlalchemy.exc import DBAPIError

        from cogitate.apps.gateway.accounts.tables import opened, reason_of
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"keys and usage need {error.name}, which is not installed: pip install 'cogitate[gateway]'"
        ) from None
    engine = opened(where, make=make)
    try:
        with engine.connect().execution_options(reads=reads) as connection, connection.begin():
            yield connection
    except DBAPIError as error:
        raise InvalidInput(f"the accounts cannot be used: {reason_of(error)}") from None
    finally:
        engine.dispose()


def execute_add(chosen: argparse.Namespace) -> int:
    """Run `keys add`."""
    from cogitate.apps.gateway.accounts import Quota
    from cogitate.apps.gateway.accounts.moments import moment

    now = time.time()
    quotas = [Quota.read(text) for text in chosen.quota]
    expires = None if chosen.expires is None else moment(chosen.expires, now, ahead=True)
    where, served = database(chosen)
    with connected(where, make=True, reads=False) as connection:
        from cogitate.apps.gateway.accounts.keyring import add

        issued = add(
            connection,
            chosen.name,
            quotas=quotas,
            concurrency=chosen.concurrency,
            models=chosen.model,
            strategies=chosen.strategy,
            expires_at=expires,
            now=now,
        )
        name = connection.engine.url.render_as_string(hide_password=True)
    if chosen.json:
        print_json(_record(issued.key, now) | {"key": issued.secret, "database": name})
        return 0
    print(issued.secret)
    said = [f"key {issued.key.id} for {issued.key.name}; keep it: it is not shown again"]
    if not served:
        said.append(f'the gateway asks for keys where [gateway] accounts names them: "{name}"')
    print("\n".join(said), file=sys.stderr)
    return 0


def execute_list(chosen: argparse.Namespace) -> int:
    """Run `keys list`."""
    where, _ = database(chosen)
    now = time.time()
    with connected(where) as connection:
        from cogitate.apps.gateway.accounts.holds import standing
        from cogitate.apps.gateway.accounts.keyring import every

        found = [key for key in every(connection) if chosen.all or key.usable(now)]
        stands = {key.id: standing(connection, key.id, now) for key in found}
    if chosen.json:
        print_json([_record(key, now) | {"standing": stands[key.id]} for key in found])
        return 0
    if not found:
        print("no keys; `cogitate keys add NAME` makes one")
        return 0
    _show(found, stands, now)
    return 0


def execute_revoke(chosen: argparse.Namespace) -> int:
    """Run `keys revoke`."""
    where, _ = database(chosen)
    now = time.time()
    with connected(where, reads=False) as connection:
        from cogitate.apps.gateway.accounts.keyring import revoke

        key = revoke(connection, chosen.key, now)
    if chosen.json:
        print_json(_record(key, now))
        return 0
    print(f"key {key.id} for {key.name} is refused from now on")
    return 0


def _show(found: list[Key], stands: dict[str, Any], now: float) -> None:
    from cogitate.apps.gateway.accounts.moments import written
    from cogitate.apps.render import Grid

    rows = tuple(
        (
            key.id,
            key.name,
            _state(key, now),
            "\n".join(_quotas(key, stands[key.id])) or "none",
            "any" if key.concurrency is None else str(key.concurrency),
            "\n".join((*key.models, *(f"{s or '(none)'} (strategy)" for s in key.strategies)))
            or "all",
            "never" if key.expires_at is None else written(key.expires_at)[:10],
        )
        for key in found
    )
    head = ("id", "name", "state", "used + held of quota", "at once", "may use", "expires")
    console().print(Grid(head, rows, right=frozenset({4}), wrap=frozenset({1, 5})))


def _quotas(key: Key, stands: dict[str, Any]) -> list[str]:
    from cogitate.apps.render import count

    lines: list[str] = []
    for quota in key.quotas:
        here = stands.get(quota.window, {})
        used, held = (here.get(state, {}).get(quota.unit, 0) for state in ("used", "held"))
        amounts = (used, held, quota.amount)
        said = [f"{a:.4g}" if quota.unit == "usd" else count(a) for a in amounts]
        window = "" if quota.window == "total" else f"/{quota.window}"
        lines.append(f"{quota.unit} {said[0]} + {said[1]} of {said[2]}{window}")
    return lines


def _state(key: Key, now: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "usable" if key.usable(now) else "expired"


def _record(key: Key, now: float) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "state": _state(key, now),
        "quotas": [{"unit": q.unit, "amount": q.amount, "window": q.window} for q in key.quotas],
        "concurrency": key.concurrency,
        "models": list(key.models),
        "strategies": list(key.strategies),
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
    }
