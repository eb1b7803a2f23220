"""`cogitate models`: list, pull, probe."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING, Any

from cogitate.apps.output import add_command, console, print_json

if TYPE_CHECKING:
    from cogitate.engines.openai import Capabilities


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
    listing = add_command(
        inner,
        "list",
        "what is known and what is here",
        "The models that can be fetched by name, and where they are on this machine.",
        "  cogitate models list\n  cogitate models list --json",
    )
    listing.set_defaults(execute=execute_list)
    pull = add_command(
        inner,
        "pull",
        "fetch a known model, verified by its hash",
        "Fetch the weights of a known model into the user's cache directory and print their path.",
        "  cogitate models pull\n  cogitate models pull smollm2",
    )
    pull.add_argument("name", nargs="?", default="smollm2", help="default: smollm2")
    pull.set_defaults(execute=execute_pull)
    probe = add_command(
        inner,
        "probe",
        "what an endpoint can do, by asking it",
        "Ask a server what it can do, by about a dozen calls of a few tokens.",
        "  cogitate models probe openai:http://localhost:8000/v1#my-model\n"
        "  cogitate models probe my-endpoint --json   (a name of the configuration)",
    )
    probe.add_argument(
        "model", help="a model spec, such as openai:http://localhost:8000/v1#my-model"
    )
    probe.set_defaults(execute=execute_probe)


def execute_list(chosen: argparse.Namespace) -> int:
    """Run `models list`."""
    from cogitate.engines.weights import KNOWN, located

    here = {name: located(name) for name in KNOWN}
    if chosen.json:
        print_json(
            [
                {
                    "name": name,
                    "title": held.title,
                    "licence": held.licence,
                    "bytes": held.size,
                    "sha256": held.sha256,
                    "path": str(here[name]) if here[name] else None,
                }
                for name, held in KNOWN.items()
            ]
        )
        return 0
    from cogitate.apps.render import Grid

    rows = tuple(
        (
            *(name, held.title, held.licence, f"{held.size / 1e6:.0f}"),
            str(here[name] or f"no: cogitate models pull {name}"),
        )
        for name, held in KNOWN.items()
    )
    head = ("name", "what it is", "licence", "MB", "here")
    out = console()
    out.print(Grid(head, rows, right=frozenset({3}), wrap=frozenset({0, 1, 2, 4})))
    out.print(
        "also: gguf:PATH (a file of yours), openai:BASE_URL#MODEL (any compatible server), "
        "litellm:PROVIDER/MODEL (other providers), reward:BASE_URL#MODEL?format=NAME (a reward model), "
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
    found = asyncio.run(_probed(chosen.model))
    if chosen.json:
        print_json(found.as_dict())
        return 0
    from cogitate.apps.render import cleaned

    print(cleaned(str(found), lines=True))  # versions and model names are a stranger's words
    return 0


async def _probed(model: str) -> Capabilities:
    from cogitate.assembly import load
    from cogitate.assembly.models import open_spec
    from cogitate.core.errors import InvalidInput
    from cogitate.engines.openai import OpenAICompatible

    engine = await open_spec(model, load())
    try:
        if not isinstance(engine, OpenAICompatible):
            raise InvalidInput(
                f"{model} is no server; only openai:BASE_URL#MODEL specs can be probed"
            )
        return await engine.probe()
    finally:
        await engine.close()
