"""The model opener: a spec opens engines, and several specs open a bundle of roles."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.protocols import Engine
from cogitate.drive import Router

from . import factory
from .configuration import ROLES, Configuration, Endpoint, check_url
from .factory import nearest
from .own import Function, OwnModel
from .spec import read

if TYPE_CHECKING:
    from cogitate.engines.openai import Capabilities, Dialect, Secret

OPENAI_HOST: Final = "api.openai.com"
"""The one host that the key in `OPENAI_API_KEY` is sent to without being configured."""

Source = str | OwnModel | Engine
"""What one role may be given."""
ModelLike = Source | Iterable[str] | Mapping[str, Source]
"""A spec, several `ROLE=SPEC`, a mapping by role, a function's model, or an engine of the caller's."""

_LATER: Final[Mapping[str, str]] = MappingProxyType(
    {
        "hf": "transformers models come later; give a GGUF file as gguf:PATH, or a server as openai:BASE_URL#MODEL",
        "lab": "the trained laboratory models come later; use a simulated world such as sim:arithmetic(skill=0.6)",
        "function": "it was a function of the caller's; from Python, pass model=cogitate.model(function) again",
    }
)


@factory.model
def fake(
    kind: str, latency_s: float = 0.0, texts: str = "plain", answers: tuple[str, ...] = ()
) -> Engine:
    """Plausible text without a model: for trying things out and for tests."""
    from cogitate.engines.fake import FakeEngine

    if texts not in ("plain", "malformed", "empty", "truncated", "mixed"):
        raise InvalidInput(f"texts is plain, malformed, empty, truncated or mixed, not {texts!r}")
    return FakeEngine(latency_s=latency_s, texts=texts, answers=answers)


@factory.model
def arithmetic(
    kind: str,
    skill: float = 0.6,
    attractor: float = 0.4,
    auc: float = 0.85,
    latency_s: float = 0.0,
) -> Engine:
    """A simulated policy and verifier for arithmetic word problems, right as often as `skill` says."""
    from cogitate.engines.simulated import Simulated

    return Simulated(skill=skill, attractor=attractor, auc=auc, latency_s=latency_s)


WORLDS: Final = MappingProxyType({arithmetic.name: arithmetic})
"""The simulated worlds, for `sim:NAME(…)`."""


@dataclass(frozen=True)
class Models:
    """Which model serves which role; nothing is opened yet."""

    roles: Mapping[str, Source]
    """Always holds `policy`."""

    @property
    def specs(self) -> dict[str, str]:
        """The specs by role, as the run card keeps them."""
        return {role: _spec(source) for role, source in self.roles.items()}

    @property
    def has_verifier(self) -> bool:
        """Whether steps can be scored: a verifier was named, or the policy is one that brings its own."""
        policy = self.specs["policy"]
        return "verifier" in self.roles or policy.startswith(("sim:", "fake"))

    def __str__(self) -> str:
        specs = self.specs
        if list(specs) == ["policy"]:
            return specs["policy"]
        return " ".join(f"{role}={spec}" for role, spec in specs.items())


def named(model: ModelLike | None, configuration: Configuration) -> Models:
    """Who serves what, from what the caller said, else from the configuration, else the default.

    `ROLE=SPEC` is split at the first `=` only where the left side is a role.

    Raises:
        InvalidInput: where a role is given twice or none is left for `policy`.
    """
    roles: dict[str, Source] = {}
    if model is None:
        roles = {"policy": configuration.model}
    elif isinstance(model, Mapping):
        roles.update(cast(Mapping[str, Source], model))
    elif isinstance(model, str) or not isinstance(model, Iterable):
        _add(roles, model)
    else:
        for item in cast(Iterable[Source], model):
            _add(roles, item)
    for role in roles:
        if role not in ROLES:
            raise InvalidInput(f"there is no role {role!r}{nearest(role, ROLES)}")
    for role, spec in configuration.roles.items():
        roles.setdefault(role, spec)
    roles.setdefault("policy", configuration.model)
    return Models(MappingProxyType({r: roles[r] for r in sorted(roles, key=_policy_first)}))


@dataclass(frozen=True)
class Opened:
    """Engines, ready to serve."""

    router: Router
    models: Models

    @property
    def fingerprints(self) -> dict[str, str]:
        """What would change the answers, by role."""
        return {
            role: ",".join(e.fingerprint for e in held) for role, held in self.router.roles.items()
        }


@asynccontextmanager
async def opened(
    models: Models,
    configuration: Configuration,
    *,
    functions: Mapping[str, Function] | None = None,
) -> AsyncGenerator[Opened, None]:
    """Open every engine, and close those we opened.

    Equal specs share an engine. Grading, and the caller's functions, are served beside the models.

    Raises:
        InvalidInput: for a model that is not there, with how to get it.
    """
    from cogitate.engines.grading import Grader

    mine: dict[str, Engine] = {}
    services: list[Engine] = []
    roles: dict[str, tuple[Engine, ...]] = {}
    try:
        for role, source in models.roles.items():
            if isinstance(source, str):
                if source not in mine:
                    mine[source] = await open_spec(source, configuration)
                roles[role] = (mine[source],)
            elif isinstance(source, OwnModel):
                mine.setdefault(f"{role} {source}", source.open())
                roles[role] = (mine[f"{role} {source}"],)
            else:
                roles[role] = (source,)  # the caller's own engine; the caller closes it
        services.append(Grader())
        if functions:
            from cogitate.engines.functions import Functions

            services.append(Functions(functions))
        yield Opened(Router(roles, services), models)
    finally:
        for engine in (*mine.values(), *services):
            await engine.close()


async def open_spec(spec: str, configuration: Configuration) -> Engine:
    """One engine. A server is asked what it is, which costs no tokens.

    Raises:
        InvalidInput: in one sentence: what is missing and how to get it.
        Failed: where a server cannot be reached or does not let us in.
    """
    target = _resolved(spec.strip(), configuration)
    if isinstance(target, Endpoint):
        return await _server(target, configuration)
    scheme, colon, rest = target.partition(":")
    if colon and scheme in _LATER:
        raise InvalidInput(f"the model {target[:80]!r} was asked for; {_LATER[scheme]}")
    if colon and scheme == "openai":
        return await _server(_endpoint(rest, configuration), configuration)
    if colon and scheme == "gguf":
        return await _local(rest)
    if colon and scheme == "pool":
        return _recorded(rest)
    if colon and scheme == "sim":
        return read(rest, "model", WORLDS).for_kind("text")
    if target.partition("(")[0].strip() == "fake":
        return read(target, "model", {"fake": fake}).for_kind("text")
    return await _known(target, configuration)


def known_names(configuration: Configuration) -> list[str]:
    """What may stand where a model is wanted, for help texts and suggestions."""
    from cogitate.engines.weights import KNOWN

    return sorted({*KNOWN, "fake", "sim", *configuration.aliases, *configuration.endpoints})


def _resolved(spec: str, configuration: Configuration) -> str | Endpoint:
    seen: list[str] = []
    while spec in configuration.aliases:
        if spec in seen:
            raise InvalidInput(
                f"the alias {spec!r} of the configuration leads back to itself; name a model"
            )
        seen.append(spec)
        spec = configuration.aliases[spec]
    return configuration.endpoints.get(spec, spec)


async def _known(name: str, configuration: Configuration) -> Engine:
    from cogitate.engines.weights import KNOWN

    if name not in KNOWN:
        if not name:
            raise InvalidInput("the model is empty; name one such as smollm2")
        raise InvalidInput(
            f"there is no model {name[:80]!r}{nearest(name, known_names(configuration))}; a file is "
            "gguf:PATH, a server openai:BASE_URL#MODEL"
        )
    return await _local(name)


async def _local(reference: str) -> Engine:
    """A model file in this process: a known name, a path, or `owner/repository/file.gguf` on a hub."""
    import asyncio

    from cogitate.engines.llamacpp import LlamaCpp
    from cogitate.engines.weights import resolve

    if not reference:
        raise InvalidInput("gguf: names no file; write gguf:PATH")
    try:
        path = await asyncio.to_thread(resolve, reference)  # a hub may be asked
    except Failed as failure:
        raise InvalidInput(failure.reason) from failure
    return LlamaCpp(path)


def _recorded(name: str) -> Engine:
    from cogitate.lab import RecordedModel, open_pool

    if not name:
        raise InvalidInput("pool: names no recording; write pool:NAME or pool:PATH")
    return RecordedModel(open_pool(name))


def _endpoint(text: str, configuration: Configuration) -> Endpoint:
    url, _, model = text.partition("#")
    check_url(url, "the address in openai:BASE_URL#MODEL")
    if not model:
        raise InvalidInput(f"openai:{url} names no model; write openai:{url}#MODEL")
    known = [e for e in configuration.endpoints.values() if _same_server(e.base_url, url)]
    variable = next((e.key_variable for e in known if e.key_variable), "")
    if not variable and urlsplit(url).hostname == OPENAI_HOST:
        variable = "OPENAI_API_KEY"
    dialect = next((e.dialect for e in known if e.dialect), "")
    price = next((e.price for e in known if e.model == model and e.price), None)
    return Endpoint("", url, model, variable, dialect, price)


async def _server(endpoint: Endpoint, configuration: Configuration) -> Engine:
    from cogitate.engines.openai import OpenAICompatible, Price, Secret

    key = None
    if endpoint.key_variable:
        key = Secret.named(endpoint.key_variable, configuration.environment)
        if key is None:
            raise InvalidInput(
                f"the server {endpoint.base_url} needs a key, but the environment variable "
                f"{endpoint.key_variable} is not set; set it and try again"
            )
    held = endpoint.price or configuration.prices.get(endpoint.model)
    return OpenAICompatible(
        endpoint.base_url,
        endpoint.model,
        key=key,
        capabilities=await _identified(endpoint, key),
        price=None if held is None else Price(held.input, held.output, held.cached),
    )


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


def _add(roles: dict[str, Source], item: Source) -> None:
    role, spec = "policy", item
    if isinstance(item, str):
        left, equals, right = item.partition("=")
        if equals and left.strip() in ROLES:
            role, spec = left.strip(), right.strip()
    if role in roles:
        raise InvalidInput(
            f"two models were given for the role {role}; give others as ROLE=SPEC, roles are {', '.join(ROLES)}"
        )
    roles[role] = spec


def _policy_first(role: str) -> tuple[bool, str]:
    return role != "policy", role


def _spec(source: Source) -> str:
    if isinstance(source, str):
        return source
    return str(source) if isinstance(source, OwnModel) else source.fingerprint
