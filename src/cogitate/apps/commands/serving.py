"""`cogitate serve`: an OpenAI-compatible server that puts strategies in front of any model."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cogitate.apps.output import add_command, print_json

if TYPE_CHECKING:
    from cogitate.assembly import Configuration

_EXAMPLES = """\
  cogitate serve
  cogitate serve --model my-model=openai:http://localhost:8000/v1#qwen --port 8080
  cogitate serve --strategy "self_consistency(n=8)" --model fake
  cogitate serve --check --config cogitate.toml

  then, with any client of OpenAI's API, base URL http://127.0.0.1:8080/v1 and a model such as
  my-model                              passed through to its own server
  best_of(n=4)@my-model                 answered by a strategy"""


def register(subcommands: Any) -> None:
    """Add the subcommand."""
    command = add_command(
        subcommands,
        "serve",
        "an OpenAI-compatible server in front of any model",
        "Serve OpenAI's API: a model's name alone passes requests through to its server, and "
        "STRATEGY@MODEL answers them by a strategy. What is offered and its limits stand in [gateway] of the "
        "configuration; `docs/cogitate.example.toml` explains every setting. The live view is at /ui.",
        _EXAMPLES,
    )
    command.add_argument("--host", help="address to listen at (default: 127.0.0.1)")
    command.add_argument("--port", type=int, metavar="N", help="port (default: 8080)")
    command.add_argument(
        "--model",
        action="append",
        metavar="[NAME=]SPEC",
        help="a model to serve beside those of the configuration, under this name; may be repeated",
    )
    command.add_argument(
        "--strategy",
        metavar="SPEC",
        help="for requests that name none (default: they pass through)",
    )
    command.add_argument("--config", type=Path, help="configuration file (default: cogitate.toml)")
    command.add_argument(
        "--without-keys",
        action="store_true",
        help="let everybody in who can reach an address that is not this machine's alone",
    )
    command.add_argument(
        "--check", action="store_true", help="only say whether the configuration can be served"
    )
    command.set_defaults(execute=execute)


def execute(chosen: argparse.Namespace) -> int:
    """Run `serve`."""
    from cogitate.assembly import load
    from cogitate.core.errors import InvalidInput

    configuration = configured(chosen, load(chosen.config) if chosen.config else load())
    try:
        from cogitate.apps.gateway.choosing import check_names
        from cogitate.apps.gateway.running import accounts_url, serve
    except ModuleNotFoundError as error:
        raise InvalidInput(
            f"the server needs {error.name}, which is not installed: pip install 'cogitate[gateway]'"
        ) from None
    check_names(configuration)
    check_open(configuration, allowed=chosen.without_keys)
    if chosen.check:
        needs_keys = bool(accounts_url(configuration))
        return _told(configuration, needs_keys, as_json=chosen.json)
    _announce(configuration, as_json=chosen.json)
    serve(configuration)
    return 0


def configured(chosen: argparse.Namespace, configuration: Configuration) -> Configuration:
    """The configuration with what the command line says.

    Raises:
        InvalidInput: for a strategy that cannot be read, or a port that is none.
    """
    from cogitate.assembly import Setting, read
    from cogitate.core.errors import InvalidInput

    said: dict[str, Any] = {}
    if chosen.host:
        said["host"] = chosen.host
    if chosen.port is not None:
        if not 0 <= chosen.port <= 65_535:
            raise InvalidInput(f"port {chosen.port} was asked for; a port is from 0 to 65535")
        said["port"] = chosen.port
    if chosen.strategy:
        said["strategy"] = str(read(chosen.strategy))
    aliases, settings = dict(configuration.aliases), dict(configuration.settings)
    names: list[str] = []
    for item in chosen.model or ():
        name, spec = named(item)
        names.append(name)
        if name != spec:
            aliases[name] = spec
    if names:
        settings["model"] = Setting(names[0], "the command line")
        if configuration.gateway.models:
            said["models"] = tuple(dict.fromkeys((*names, *configuration.gateway.models)))
    return replace(
        configuration,
        aliases=MappingProxyType(aliases),
        settings=MappingProxyType(settings),
        gateway=replace(configuration.gateway, **said),
    )


def named(item: str) -> tuple[str, str]:
    """The name that clients use, and the spec.

    >>> named("mine=openai:http://localhost:8000/v1#qwen")
    ('mine', 'openai:http://localhost:8000/v1#qwen')
    >>> named("openai:http://localhost:8000/v1#qwen"), named("fake")
    (('qwen', 'openai:http://localhost:8000/v1#qwen'), ('fake', 'fake'))
    """
    name, equals, spec = item.partition("=")
    if equals and name and not set(name) & set(":/(#@ "):
        return name, spec
    if item.startswith("openai:") and "#" in item:
        return item.rpartition("#")[2], item
    if item.startswith("gguf:"):
        return Path(item[5:]).stem or item, item
    return item, item


def check_open(configuration: Configuration, *, allowed: bool) -> None:
    """Refuse an address that others can reach where nobody needs a key.

    Raises:
        InvalidInput: with what to do.
    """
    from cogitate.core.errors import InvalidInput

    settings = configuration.gateway
    local = settings.host in ("127.0.0.1", "::1", "localhost") or settings.host.startswith("127.")
    if local or allowed or settings.accounts or settings.accounts_variable:
        return
    raise InvalidInput(
        f"the address {settings.host} can be reached by others, and no key is needed; set [gateway] accounts "
        "and make keys with `cogitate keys add`, or give --without-keys to let everybody in"
    )


def _told(configuration: Configuration, needs_keys: bool, *, as_json: bool) -> int:
    from cogitate.apps.gateway.choosing import Choosing

    settings = configuration.gateway
    names = Choosing(configuration).listed()
    if as_json:
        record = {
            "ok": True,
            "address": _address(configuration),
            "models": list(names),
            "strategies": dict(settings.strategies),
            "strategy": settings.strategy,
            "keys": needs_keys,
            "journals": settings.journals or None,
            "file": str(configuration.path) if configuration.path else None,
        }
        print_json(record)
        return 0
    print(f"the configuration can be served at {_address(configuration)}")
    print("models    " + "\n          ".join(names))
    print(f"default   {settings.strategy or 'requests without a strategy pass through'}")
    print(f"keys      {'needed' if needs_keys else 'not needed'}")
    return 0


def _announce(configuration: Configuration, *, as_json: bool) -> None:
    address = _address(configuration)
    if as_json:
        print_json({"address": address})
        sys.stdout.flush()
        return
    print(f"serving at {address} (Ctrl-C ends it)", file=sys.stderr)
    if configuration.gateway.live:
        print(f"live view at {address.removesuffix('/v1')}/ui", file=sys.stderr)


def _address(configuration: Configuration) -> str:
    settings = configuration.gateway
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}/v1"
