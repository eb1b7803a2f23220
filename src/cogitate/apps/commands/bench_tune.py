"""`cogitate bench tune`: the smallest cache that keeps a tree search as good as its baseline."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

from cogitate.apps.output import add_command, console, print_json
from cogitate.core.errors import InvalidInput

if TYPE_CHECKING:
    from cogitate.bench.tuning import Tuning


def add_tune(inner: Any) -> None:
    """Add `bench tune`."""
    command = add_command(
        inner,
        "tune",
        "find the weights of a tree search that save most cache at no loss",
        "Runs a strategy with every combination of values and its baseline on the same questions, and names the one "
        "with the smallest key-value cache (tokens of unique prefixes, summed over the depths of the tree) among "
        "those whose accuracy is at most the tolerance below the baseline's. Tune on other questions than you "
        "report on.",
        '  cogitate bench tune --task "world:blind_alleys(problems=100, seed=7)" --model "sim:chain(preset=\'blind_alleys\')" '
        '--strategy "ets(width=16, cost={cost}, coverage={coverage})" --vary cost=1,2,4 --vary coverage=1.5,3',
    )
    command.add_argument("--task", required=True, metavar="NAME", help="see cogitate bench tasks")
    command.add_argument("--model", metavar="SPEC", help="default: what is configured")
    command.add_argument(
        "--strategy",
        default="ets(cost={cost}, coverage={coverage})",
        metavar="SPEC",
        help="with names in braces (ets(cost={cost}, coverage={coverage}))",
    )
    command.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="NAME=A,B,…",
        help="the values of a name in braces; repeat it for each name",
    )
    command.add_argument("--baseline", default="rebase()", metavar="SPEC", help="(rebase())")
    command.add_argument(
        "--tolerance", type=float, default=0.02, help="accuracy that may be lost (0.02)"
    )
    command.add_argument(
        "--sure",
        action="store_true",
        help="the whole interval of the difference must be within the tolerance",
    )
    command.add_argument("--limit", type=int, metavar="N", help="only the first N questions")
    command.add_argument("--seed", type=int, default=0, help="default: 0")
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `bench tune`."""
    from cogitate.bench.tasks import find
    from cogitate.bench.tuning import settings, tune

    strategies = settings(chosen.strategy, dict(_values(text) for text in chosen.vary))
    items = tuple(find(chosen.task).questions(chosen.limit))
    found = asyncio.run(
        tune(
            items,
            strategies,
            model=chosen.model,
            baseline=chosen.baseline,
            tolerance=chosen.tolerance,
            sure=chosen.sure,
            seed=chosen.seed,
            tell=lambda spec: console(to_errors=True).print(f"running {spec}", markup=False),
        )
    )
    if chosen.json:
        print_json(found.as_json())
    else:
        _show(found)
    return 0


def _values(text: str) -> tuple[str, tuple[str, ...]]:
    name, equals, listed = text.partition("=")
    values = tuple(value.strip() for value in listed.split(",") if value.strip())
    if not equals or not name.strip().isidentifier() or not values:
        raise InvalidInput(f"--vary {text!r} was given; write --vary NAME=A,B")
    return name.strip(), values


def _show(found: Tuning) -> None:
    from rich.table import Table

    table = Table(title=f"{found.questions} questions; 95 % intervals")
    table.add_column("strategy", overflow="fold")
    for name in ("accuracy", "lead", "cache", "ratio", "tokens"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in (found.baseline, *found.tried):
        mark = "bold" if one is found.chosen else None
        table.add_row(
            one.strategy,
            f"{one.accuracy.value:.3f} [{one.accuracy.low:.2f}, {one.accuracy.high:.2f}]",
            f"{one.lead.value:+.3f} [{one.lead.low:+.2f}, {one.lead.high:+.2f}]",
            f"{one.cache:.0f}",
            f"{found.baseline.cache / one.cache:.2f}" if one.cache else "–",
            f"{one.tokens:.0f}",
            style=mark,
        )
    console().print(table)
    how = "surely " if found.sure else ""
    if found.chosen is None:
        console().print(
            f"nothing that needs less cache stays {how}within {found.tolerance:g} of the baseline"
        )
    else:
        saved = found.baseline.cache / found.chosen.cache
        console().print(
            f"use {found.chosen.strategy}: {saved:.2f} times less cache, {how}within {found.tolerance:g}"
        )
