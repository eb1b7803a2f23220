"""The model opener: a spec opens engines, and several specs open a bundle of roles."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, cast

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.protocols import Engine
from cogitate.drive import Endpoints, Router

from . import factory
from .configuration import ROLES, SEVERAL, Configuration, Endpoint
from .factory import nearest
from .own import Function, OwnModel
from .servers import (
    described,
    described_reward,
    open_litellm,
    open_reward,
    open_server,
    open_servers,
)
from .spec import read
from .worlds import WORLDS

Source = str | OwnModel | Engine
"""What one role may be given."""
ModelLike = Source | Iterable[str] | Mapping[str, Source]
"""A spec, several `ROLE=SPEC`, a mapping by role, a function's model, or an engine of the caller's.

Servers given for one role again, or joined as `SPEC | SPEC`, stand in for one another.
"""

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
        # A model that was set counts for more than a role, and a role for more than the default.
        roles = {"policy": configuration.model} if "model" in configuration.settings else {}
    elif isinstance(model, Mapping):
        roles.update(cast(Mapping[str, Source], model))
    elif isinstance(model, str) or not isinstance(model, Iterable):
        _add(roles, model, configuration)
    else:
        for item in cast(Iterable[Source], model):
            _add(roles, item, configuration)
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

    @property
    def notes(self) -> tuple[str, ...]:
        """What became of endpoints that stand in for one another, one sentence each."""
        several = {id(e): e for e in self.router.engines if isinstance(e, Endpoints)}
        return tuple(note for engine in several.values() for note in engine.notes)


@asynccontextmanager
async def opened(
    models: Models,
    configuration: Configuration,
    *,
    functions: Mapping[str, Function] | None = None,
    keep_all: bool = False,
) -> AsyncGenerator[Opened, None]:
    """Open every engine, and close those we opened.

    Equal specs share an engine. Grading, and the caller's functions, are served beside the models.
    A cache keeps what servers and local models reply; with `keep_all` what free models, functions and
    engines of the caller's reply, too.

    Raises:
        InvalidInput: for a model that is not there, with how to get it.
    """
    from cogitate.engines.grading import Grader
    from cogitate.engines.sandbox import Sandbox

    mine: dict[str, Engine] = {}
    services: list[Engine] = []
    roles: dict[str, tuple[Engine, ...]] = {}
    unkept: list[Engine] = []
    try:
        for role, source in models.roles.items():
            if isinstance(source, str):
                if source not in mine:
                    embedder = roles.get("embedder") or roles.get("policy") or (None,)
                    mine[source] = await open_spec(source, configuration, embedder[0])
                roles[role] = (mine[source],)
            elif isinstance(source, OwnModel):
                mine.setdefault(f"{role} {source}", source.open())
                roles[role] = (mine[f"{role} {source}"],)
            else:
                roles[role] = (source,)  # the caller's own engine; the caller closes it
            if not (isinstance(source, str) and not is_free(source, configuration)):
                unkept += roles[role]
        unisolated = configuration.allows_unisolated_execution
        # Nothing starts before it is asked.
        services += [Grader(), Sandbox(allow_unisolated_execution=unisolated)]
        if functions:
            from cogitate.engines.functions import Functions

            services.append(Functions(functions))
        yield Opened(Router(roles, services, unkept=() if keep_all else unkept), models)
    finally:
        for engine in (*mine.values(), *services):
            await engine.close()


async def open_spec(
    spec: str, configuration: Configuration, embedder: Engine | None = None
) -> Engine:
    """One engine. A server is asked what it is, which costs no tokens.

    Args:
        spec: of a model, of several servers, or of an index.
        configuration: names aliases and endpoints.
        embedder: embeds the queries of an index of embeddings; it is not closed with it.

    Raises:
        InvalidInput: in one sentence: what is missing and how to get it.
        Failed: where a server cannot be reached or does not let us in.
    """
    targets = _targets(spec, configuration)
    if len(targets) > 1:
        return await _several(spec, targets, configuration)
    target = targets[0]
    if isinstance(target, Endpoint):
        opens = open_reward if target.format else open_server
        return await opens(target, configuration)
    scheme, colon, rest = target.partition(":")
    if colon and scheme in _LATER:
        raise InvalidInput(f"the model {target[:80]!r} was asked for; {_LATER[scheme]}")
    if colon and scheme == "openai":
        return await open_server(described(rest, configuration), configuration)
    if colon and scheme == "reward":
        return await open_reward(described_reward(rest, configuration), configuration)
    if colon and scheme == "litellm":
        return await open_litellm(rest.strip(), configuration)
    if colon and scheme == "gguf":
        return await _local(rest)
    if colon and scheme == "pool":
        return _recorded(rest)
    if colon and scheme == "index":
        return await _index(rest, embedder)
    if colon and scheme == "sim":
        return read(rest, "model", WORLDS).for_kind("text")
    if target.partition("(")[0].strip() == "fake":
        return read(target, "model", {"fake": fake}).for_kind("text")
    return await _known(target, configuration)


async def _several(
    spec: str, targets: Iterable[str | Endpoint], configuration: Configuration
) -> Engine:
    if not _are_servers(spec, configuration):
        raise InvalidInput(
            f"the models {spec[:200]!r} were asked for together; only servers can stand in for one "
            "another, such as openai:http://one/v1#m | openai:http://other/v1#m"
        )
    servers = [
        target
        if isinstance(target, Endpoint)
        else described(target.partition(":")[2], configuration)
        for target in targets
    ]
    return await open_servers(servers, configuration)


def is_free(spec: str, configuration: Configuration) -> bool:
    """Whether asking again costs nothing, so that its replies need not be kept: fakes, worlds, recordings."""
    return all(
        isinstance(target, str)
        and (
            target.startswith(("sim:", "pool:", "index:"))
            or target.partition("(")[0].strip() == "fake"
        )
        for target in _targets(spec, configuration)
    )


def targets(spec: str, configuration: Configuration) -> list[str | Endpoint]:
    """What a spec stands for once aliases are followed: a model, or the servers that it joins.

    Raises:
        InvalidInput: for an alias that leads back to itself, or an address that cannot be read.
    """
    return [
        described(target.partition(":")[2], configuration)
        if isinstance(target, str) and target.startswith("openai:")
        else target
        for target in _targets(spec, configuration)
    ]


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


async def _index(path: str, embedder: Engine | None) -> Engine:
    """An index of passages in a folder; read in a thread, since it may be large."""
    import asyncio
    from pathlib import Path

    from cogitate.engines.retrieval import Retriever, load

    if not path:
        raise InvalidInput("index: names no folder; write index:PATH")
    folder = Path(path).expanduser()
    return Retriever({folder.name: await asyncio.to_thread(load, folder)}, embedder)


def _recorded(name: str) -> Engine:
    from cogitate.lab import RecordedModel, open_pool

    if not name:
        raise InvalidInput("pool: names no recording; write pool:NAME or pool:PATH")
    return RecordedModel(open_pool(name))


def _add(roles: dict[str, Source], item: Source, configuration: Configuration) -> None:
    role, spec = "policy", item
    if isinstance(item, str):
        left, equals, right = item.partition("=")
        if equals and left.strip() in ROLES:
            role, spec = left.strip(), right.strip()
    held = roles.get(role)
    if held is not None:
        if not (_are_servers(held, configuration) and _are_servers(spec, configuration)):
            raise InvalidInput(
                f"two models were given for the role {role}; give others as ROLE=SPEC, roles are "
                f"{', '.join(ROLES)}; only servers can stand in for one another"
            )
        spec = f"{held}{SEVERAL}{spec}"
    roles[role] = spec


def _are_servers(source: Source, configuration: Configuration) -> bool:
    return isinstance(source, str) and all(
        not target.format if isinstance(target, Endpoint) else target.startswith("openai:")
        for target in _targets(source, configuration)
    )


def _targets(spec: str, configuration: Configuration) -> list[str | Endpoint]:
    """What a spec stands for: one model, or the servers that it joins."""
    found: list[str | Endpoint] = []
    for part in spec.split(SEVERAL):
        target = _resolved(part.strip(), configuration)
        several = isinstance(target, str) and SEVERAL in target
        found += _targets(str(target), configuration) if several else [target]
    return found


def _policy_first(role: str) -> tuple[bool, str]:
    return role != "policy", role


def _spec(source: Source) -> str:
    if isinstance(source, str):
        return source
    return str(source) if isinstance(source, OwnModel) else source.fingerprint
