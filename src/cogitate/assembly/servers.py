"""Servers by their address: what is configured for them, what they are, and several for one role."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.protocols import Engine

from .configuration import Configuration, Endpoint, check_url
from .factory import nearest

if TYPE_CHECKING:
    from cogitate.engines.openai import (
        Capabilities,
        Dialect,
        OpenAICompatible,
        Price,
        RewardModel,
        Secret,
    )

OPENAI_HOST: Final = "api.openai.com"
"""The one host that the key in `OPENAI_API_KEY` is sent to without being configured."""


def described(text: str, configuration: Configuration, scheme: str = "openai") -> Endpoint:
    """The server in `openai:BASE_URL#MODEL`, with the key, dialect and price that are configured for it.

    Raises:
        InvalidInput: for what is no address, or names no model.
    """
    url, _, model = text.partition("#")
    check_url(url, f"the address in {scheme}:BASE_URL#MODEL")
    if not model:
        raise InvalidInput(f"{scheme}:{url} names no model; write {scheme}:{url}#MODEL")
    known = [e for e in configuration.endpoints.values() if _same_server(e.base_url, url)]
    variable = next((e.key_variable for e in known if e.key_variable), "")
    if not variable and urlsplit(url).hostname == OPENAI_HOST:
        variable = "OPENAI_API_KEY"
    dialect = next((e.dialect for e in known if e.dialect), "")
    price = next((e.price for e in known if e.model == model and e.price), None)
    return Endpoint("", url, model, variable, dialect, price)


async def open_server(endpoint: Endpoint, configuration: Configuration) -> OpenAICompatible:
    """One server, asked what it is.

    Raises:
        InvalidInput: where its key is not set, or it has no such model.
        Failed: where it cannot be reached or does not let us in.
    """
    key = _key(endpoint, configuration)
    return _engine(endpoint, configuration, key, await _identified(endpoint, key))


def described_reward(text: str, configuration: Configuration) -> Endpoint:
    """The reward model in `reward:BASE_URL#MODEL?format=NAME`, where `&class=N` picks a class.

    Without a format, that of the configured endpoint with this address and model counts.

    Raises:
        InvalidInput: for what is no address, and where no format is known.
    """
    from urllib.parse import unquote

    address, _, said = text.partition("?")
    found = described(address, configuration, "reward")
    options: dict[str, str] = {}
    for part in filter(None, said.split("&")):
        name, _, value = part.partition("=")
        if name not in ("format", "class") or name in options:
            raise InvalidInput(
                f"the option {part[:40]!r} was given in reward:BASE_URL#MODEL?format=NAME&class=N; the "
                "options are format and class, each once"
            )
        options[name] = unquote(value)
    known = configuration.endpoints.values()
    same = [e for e in known if _same_server(e.base_url, found.base_url) and e.model == found.model]
    form = options.get("format") or next((e.format for e in same if e.format), "")
    if "class" in options:
        form = f"{form}:{options['class']}"
    return replace(found, format=form)


async def open_reward(endpoint: Endpoint, configuration: Configuration) -> RewardModel:
    """One reward model, whose server is asked what it is.

    Raises:
        InvalidInput: where its format is not known, its key is not set, or the server has no such model.
        Failed: where it cannot be reached or does not let us in.
    """
    from cogitate.engines.openai import FORMATS, RewardModel, format_named

    name, _, positive = endpoint.format.partition(":")
    if not name:
        raise InvalidInput(
            f"the reward model {endpoint.model!r} has no format; add ?format=NAME or configure it for the "
            f"endpoint, where NAME is one of {', '.join(FORMATS)}"
        )
    if positive and not (positive.isascii() and positive.isdigit()):
        raise InvalidInput(f"the class {positive[:20]!r} was asked for; give its number, from 0")
    form = format_named(name, int(positive) if positive else None)
    key = _key(endpoint, configuration)
    return RewardModel(
        endpoint.base_url,
        endpoint.model,
        form,
        key=key,
        capabilities=await _identified(endpoint, key),
        price=_price(endpoint, configuration),
    )


_HOLDS_KEY = re.compile(r"(KEY|TOKEN|SECRET|PASSWORD|CREDENTIALS?)(_|$)")


async def open_litellm(model: str, configuration: Configuration) -> Engine:
    """A model of any provider that the library LiteLLM knows; its key is read from the environment.

    Raises:
        InvalidInput: where the extra is not installed, the provider unknown, or its key not set.
    """
    from cogitate.engines.litellm import LiteLLM
    from cogitate.engines.openai import Price, Secret

    secrets: list[Secret] = []
    for name, value in configuration.environment.items():
        if _HOLDS_KEY.search(name.upper()) and len(value.strip()) >= 8:
            with suppress(InvalidInput):  # of no use in a header, so no key
                secrets.append(Secret(value.strip(), name))
    held = configuration.prices.get(model)
    price = None if held is None else Price(held.input, held.output, held.cached)
    engine = LiteLLM(model, secrets=secrets, price=price)
    await engine.prepare()
    return engine


async def open_servers(endpoints: Sequence[Endpoint], configuration: Configuration) -> Engine:
    """Servers of one model that stand in for one another; those that are down are tried later.

    Raises:
        InvalidInput: where they serve different models, or are of different kinds.
        Failed: where none of them can be reached; what the first one said.
    """
    from cogitate.drive import Endpoints

    models = list(dict.fromkeys(endpoint.model for endpoint in endpoints))
    if len(models) > 1:
        raise InvalidInput(
            f"several servers were given for one role, but they serve {models[0]!r} and {models[1]!r}; "
            "only servers of one model can stand in for one another: serve it under one name"
        )
    opened: list[OpenAICompatible | Failed] = []
    for endpoint in endpoints:
        try:
            opened.append(await open_server(endpoint, configuration))
        except Failed as failure:
            if not failure.transient:
                raise
            opened.append(failure)
    live = [engine for engine in opened if not isinstance(engine, Failed)]
    if not live:
        raise cast(Failed, opened[0])
    kinds = list(dict.fromkeys(engine.capabilities.dialect for engine in live))
    if len(kinds) > 1:
        raise InvalidInput(
            f"several servers were given for one role, but one is {kinds[0]} and one {kinds[1]}; servers "
            "that stand in for one another must be able to do the same"
        )
    engines: list[Engine] = []
    down: list[Engine] = []
    for endpoint, found in zip(endpoints, opened, strict=True):
        if isinstance(found, Failed):
            key = _key(endpoint, configuration)
            down.append(_engine(endpoint, configuration, key, live[0].capabilities))
            engines.append(down[-1])
        else:
            engines.append(found)
    return Endpoints(engines, down=down)


def _key(endpoint: Endpoint, configuration: Configuration) -> Secret | None:
    from cogitate.engines.openai import Secret

    if not endpoint.key_variable:
        return None
    key = Secret.named(endpoint.key_variable, configuration.environment)
    if key is None:
        raise InvalidInput(
            f"the server {endpoint.base_url} needs a key, but the environment variable "
            f"{endpoint.key_variable} is not set; set it and try again"
        )
    return key


def _engine(
    endpoint: Endpoint,
    configuration: Configuration,
    key: Secret | None,
    capabilities: Capabilities,
) -> OpenAICompatible:
    from cogitate.engines.openai import OpenAICompatible

    return OpenAICompatible(
        endpoint.base_url,
        endpoint.model,
        key=key,
        capabilities=capabilities,
        price=_price(endpoint, configuration),
    )


def _price(endpoint: Endpoint, configuration: Configuration) -> Price | None:
    from cogitate.engines.openai import Price

    held = endpoint.price or configuration.prices.get(endpoint.model)
    return None if held is None else Price(held.input, held.output, held.cached)


async def _identified(endpoint: Endpoint, key: Secret | None) -> Capabilities:
    """What the server is; one that does not list its models is taken as the plainest kind."""
    from cogitate.engines.openai import Timeouts, assumed
    from cogitate.engines.openai.client import Client
    from cogitate.engines.openai.identify import identify

    dialect = cast("Dialect", endpoint.dialect or "generic")
    client = Client(
        endpoint.base_url,
        endpoint.model,
        key,
        Timeouts(connect_s=10, first_byte_s=20, between_bytes_s=20),
    )
    try:
        found = await identify(client, dialect)
    except Failed as failure:
        if failure.kind in ("missing", "malformed", "unsupported"):
            return assumed(dialect)
        raise
    finally:
        await client.close()
    if found.models and endpoint.model not in found.models and found.dialect != "llamacpp":
        raise InvalidInput(
            f"the server {endpoint.base_url} has no model {endpoint.model!r}"
            f"{nearest(endpoint.model, found.models[:12])}"
        )
    return found


def _same_server(one: str, other: str) -> bool:
    a, b = urlsplit(one), urlsplit(other)
    return (a.scheme, a.netloc.lower(), a.path.rstrip("/")) == (
        b.scheme,
        b.netloc.lower(),
        b.path.rstrip("/"),
    )
