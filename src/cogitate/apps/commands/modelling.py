"""`cogitate models`: list, pull, probe."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from cogitate.apps.output import add_command, add_json, console, print_json


def register(subcommands: Any) -> None:
    """Add the subcommands."""
    command = add_command(
        subcommands,
        "models",
        "known models; fetch the embedded one; probe an endpoint",
        "Which models there are and where they come from.",
        "  cogitate models list\n  cogitate models pull smollm2\n"
        "  cogitate models probe openai:http://localhost:8000/v1#my-model",
    )
    command.set_defaults(execute=execute_list)
    inner = command.add_subparsers(dest="action", metavar="ACTION")
    listing = inner.add_parser("list", help="what is known and what is here")
    add_json(listing)
    listing.set_defaults(execute=execute_list)
    pull = inner.add_parser("pull", help="fetch a known model, verified by its hash")
    pull.add_argument("name", nargs="?", default="smollm2", help="default: smollm2")
    add_json(pull)
    pull.set_defaults(execute=execute_pull)
    probe = inner.add_parser("probe", help="what an endpoint can do, by asking it")
    probe.add_argument("model", help="a model spec, such as openai:http://localhost:8000/v1#my-model")
    add_json(probe)
    probe.set_defaults(execute=execute_probe)


def execute_list(chosen: argparse.Namespace) -> int:
    """Run `models list`."""
    from cogitate.engines.weights import KNOWN, located

    rows = [
        {
            "name": name,
            "title": held.title,
            "licence": held.licence,
            "bytes": held.size,
            "sha256": held.sha256,
            "path": str(located(name) or "") or None,
        }
        for name, held in KNOWN.items()
    ]
    if chosen.json:
        print_json(rows)
        return 0
    from rich.table import Table

    table = Table("name", "what it is", "licence", "MB", "here")
    for row in rows:
        here = row["path"] or f"no: cogitate models pull {row['name']}"
        table.add_row(row["name"], row["title"], row["licence"], f"{row['bytes'] / 1e6:.0f}", here)
    out = console()
    out.print(table)
    out.print(
        "also: gguf:PATH (a file of yours), openai:BASE_URL#MODEL (any compatible server), "
        "sim:arithmetic(skill=0.6) (a simulated world), fake",
        soft_wrap=True,
    )
    return 0


def execute_pull(chosen: argparse.Namespace) -> int:
    """Run `models pull`."""
    path = pull(chosen.name, quiet=chosen.json)
    if chosen.json:
        print_json({"name": chosen.name, "path": path})
    else:
        print(path)
    return 0


def pull(name: str, *, quiet: bool) -> str:
    """Fetch a model with a progress bar; returns its path."""
    from cogitate.apps.progress import downloading
    from cogitate.engines import weights

    with downloading(f"fetching {name}", quiet=quiet) as progress:
        return str(weights.pull(name, progress=progress))


def execute_probe(chosen: argparse.Namespace) -> int:
    """Run `models probe`."""
    from cogitate.assembly import load
    from cogitate.assembly.models import open_spec
    from cogitate.core.errors import InvalidInput

    async def ask() -> Any:
        engine = await open_spec(chosen.model, load())
        try:
            probe = getattr(engine, "probe", None)  # only engines of servers have something to find out
            if probe is None:
                raise InvalidInput(
                    f"{chosen.model} is no server; only openai:BASE_URL#MODEL specs can be probed"
                )
            return await probe()
        finally:
            await engine.close()

    found = asyncio.run(ask())
    if chosen.json:
        print_json(found.to_json())
    else:
        print(found)
    return 0
