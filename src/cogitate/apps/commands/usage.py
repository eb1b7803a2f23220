"""`cogitate usage`: what the keys of the gateway have used."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from cogitate.apps.output import add_command, console, print_json

from .keys import add_database, connected, database

if TYPE_CHECKING:
    from cogitate.apps.gateway.accounts.records import Sum

_DAY_S = 86_400.0


def register(subcommands: Any) -> None:
    """Add the subcommand."""
    command = add_command(
        subcommands,
        "usage",
        "what the keys of the gateway have used",
        "Requests, tokens of all roles, calls to models, money and time, by key, day (UTC) and model, with "
        "totals. Money that nobody knows is said to be unknown, never counted as nothing. The records hold no "
        "prompts unless the gateway was told to store them; --request shows one that was kept.",
        "  cogitate usage --since 7d\n  cogitate usage --by key --key ann --json\n"
        "  cogitate usage --last 20\n  cogitate usage --purge-prompts 30",
    )
    command.add_argument(
        "--since", metavar="WHEN", help="a day such as 2027-01-31, or a span such as 7d"
    )
    command.add_argument("--until", metavar="WHEN", help="likewise; what ended before it")
    command.add_argument("--key", metavar="NAME_OR_ID", help="of one key only")
    command.add_argument(
        "--by",
        default="key,day,model",
        metavar="GROUPS",
        help="key, day, model, strategy, status, with commas between (default: key,day,model)",
    )
    what = command.add_mutually_exclusive_group()
    what.add_argument("--last", type=int, metavar="N", help="the newest N records instead of sums")
    what.add_argument(
        "--request", metavar="ID", help="one record, with its prompt where it was kept"
    )
    what.add_argument(
        "--purge-prompts",
        type=float,
        metavar="DAYS",
        help="drop the prompts that are older than so many days; 0 drops all",
    )
    add_database(command)
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `usage`."""
    if chosen.purge_prompts is not None:
        return _purge(chosen)
    if chosen.last is not None or chosen.request is not None:
        return _list(chosen)
    return _sum(chosen)


def _sum(chosen: argparse.Namespace) -> int:
    from cogitate.apps.gateway.accounts.moments import moment

    now = time.time()
    groups = tuple(dict.fromkeys(name.strip() for name in chosen.by.split(",") if name.strip()))
    since, until = (
        None if text is None else moment(text, now, ahead=False)
        for text in (chosen.since, chosen.until)
    )
    where, _ = database(chosen)
    with connected(where) as connection:
        from cogitate.apps.gateway.accounts.keyring import find
        from cogitate.apps.gateway.accounts.records import sums

        key = None if chosen.key is None else find(connection, chosen.key).id
        found = sums(connection, groups, since=since, until=until, key_id=key)
        total = sums(connection, since=since, until=until, key_id=key)[0]
    if chosen.json:
        rows = [row.to_json() for row in found]
        print_json(
            {"by": list(groups), "since": since, "until": until, "rows": rows}
            | {"total": total.to_json()}
        )
        return 0
    if not total.requests:
        print("no requests were recorded")
        return 0
    _show(groups, found, total)
    return 0


def _list(chosen: argparse.Namespace) -> int:
    from cogitate.core.errors import InvalidInput

    if chosen.last is not None and not 1 <= chosen.last <= 1_000_000:
        raise InvalidInput(f"--last {chosen.last} was asked for; it is at least 1")
    where, _ = database(chosen)
    with connected(where) as connection:
        from cogitate.apps.gateway.accounts.keyring import find
        from cogitate.apps.gateway.accounts.records import newest, prompt_of

        key = None if chosen.key is None else find(connection, chosen.key).id
        found = newest(connection, chosen.last or 1, key_id=key, request=chosen.request)
        if chosen.request is not None:
            if not found:
                raise InvalidInput(
                    f"there is no record of a request {chosen.request!r}; `cogitate usage --last 20` shows "
                    "the newest"
                )
            found[0]["prompt"] = prompt_of(connection, chosen.request)
    if chosen.json or chosen.request is not None:
        print_json(found[0] if chosen.request is not None else found)
        return 0
    _show_records(found)
    return 0


def _purge(chosen: argparse.Namespace) -> int:
    from cogitate.core.errors import InvalidInput

    if not 0 <= chosen.purge_prompts < 1e6:
        raise InvalidInput(
            f"--purge-prompts {chosen.purge_prompts} was asked for; it is a number of days of at least 0"
        )
    where, _ = database(chosen)
    with connected(where, reads=False) as connection:
        from cogitate.apps.gateway.accounts.records import purge

        dropped = purge(connection, time.time() - chosen.purge_prompts * _DAY_S)
    if chosen.json:
        print_json({"dropped": dropped})
    else:
        print(f"{dropped} prompts dropped")
    return 0


def _show(groups: tuple[str, ...], found: list[Sum], total: Sum) -> None:
    from cogitate.apps.render import Grid, one_line

    lines = [*found, total] if groups else [total]
    rows = tuple(
        (
            *(one_line(value or "(none)", 60) for _, value in line.by),
            *(("all",) + ("",) * (len(groups) - 1) if groups and line is total else ()),
            *_cells(line),
        )
        for line in lines
    )
    head = (
        *groups,
        *(
            "requests",
            "tokens in",
            "cached",
            "tokens out",
            "reasoning",
            "calls",
            "money",
            "seconds",
        ),
    )
    numbers = frozenset(range(len(groups), len(head)))
    caption = "some of it is estimated" if total.usage.estimated else ""
    last = frozenset({len(rows) - 1})
    console().print(Grid(head, rows, caption=caption, right=numbers, bold=last))


def _cells(line: Sum) -> tuple[str, ...]:
    from cogitate.apps.render import count

    used = line.usage
    tokens = (used.tokens_in, used.tokens_cached, used.tokens_out, used.tokens_reasoning)
    return (
        count(line.requests),
        *(count(n) for n in tokens),
        count(used.calls),
        _money(line),
        f"{line.seconds:,.1f}",
    )


def _money(line: Sum) -> str:
    if line.usage.usd is not None:
        return f"${line.usage.usd:.4f}"
    return "unknown" if not line.usd_known else f"${line.usd_known:.4f} + unknown"


def _show_records(found: list[dict[str, Any]]) -> None:
    from cogitate.apps.gateway.accounts.moments import written
    from cogitate.apps.render import Grid, count, one_line

    rows = tuple(
        (
            written(row["at"]),
            one_line(row["id"], 40),
            one_line(row["key"], 30),
            one_line(row["model"], 40),
            one_line(row["strategy"], 60),
            f"{row['status']}" + (f" × {row['requests']}" if row["requests"] > 1 else ""),
            count(row["tokens_out"]),
            "unknown" if row["usd"] is None else f"${row['usd']:.4f}",
            f"{row['seconds']:.2f}",
        )
        for row in found
    )
    head = ("ended", "request", "key", "model", "strategy", "status", "out", "money", "seconds")
    console().print(Grid(head, rows, right=frozenset({6, 7, 8}), wrap=frozenset({1, 4})))
