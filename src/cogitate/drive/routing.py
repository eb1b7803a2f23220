"""From a request's role and kind to the engine that serves it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from cogitate.core.errors import Failed
from cogitate.core.protocols import Engine
from cogitate.core.requests import Request

DEFAULT_ROLE = "policy"
"""Serves the roles that nobody was named for."""


@runtime_checkable
class StandsIn(Protocol):
    """An engine behind which several stand, each of which may answer."""

    @property
    def fingerprints(self) -> tuple[str, ...]: ...


class Router:
    """Maps requests to engines.

    Args:
        roles: engines by role; the first that serves the kind of request is taken.
        services: engines for requests without a model, such as `Grade` and `Call`.
        unkept: engines whose replies a cache does not keep, because they are free or may change unseen;
            those of services never are.
    """

    def __init__(
        self,
        roles: Mapping[str, Sequence[Engine]],
        services: Sequence[Engine] = (),
        *,
        unkept: Sequence[Engine] = (),
    ) -> None:
        self.roles = {role: tuple(engines) for role, engines in roles.items()}
        self.services = tuple(services)
        self._unkept = frozenset(id(engine) for engine in (*services, *unkept))
        self._known: dict[tuple[str, type[Request[Any]]], Engine] = {}

    @classmethod
    def of(cls, engine: Engine | Router) -> Router:
        """A router that sends everything to one engine; routers stay as they are."""
        return engine if isinstance(engine, Router) else cls({DEFAULT_ROLE: (engine,)})

    @property
    def engines(self) -> list[Engine]:
        """Every engine once."""
        held = [e for engines in self.roles.values() for e in engines] + list(self.services)
        return list({id(engine): engine for engine in held}.values())

    def choose(self, request: Request[Any]) -> Engine:
        """The engine that serves this request.

        Raises:
            Failed: of kind `unserved`, when no engine does.
        """
        kind = (request.role, type(request))
        found = self._known.get(kind)
        if found is None:
            found = self._known[kind] = self._search(request)
        return found

    def _search(self, request: Request[Any]) -> Engine:
        named = self.roles.get(request.role, ())
        default = () if request.role == DEFAULT_ROLE else self.roles.get(DEFAULT_ROLE, ())
        for engine in (*named, *self.services, *(() if named else default)):
            if type(request) in engine.serves:
                return engine
        name = type(request).__name__
        raise Failed(
            f"no engine serves {name} for the role {request.role!r}; name one with "
            f"--model {request.role}=SPEC, or choose a strategy that does not ask for it",
            "unserved",
        )

    def keeps(self, engine: Engine) -> bool:
        """Whether a cache keeps what this engine replies."""
        return id(engine) not in self._unkept

    def fingerprints(self, engine: Engine) -> tuple[str, ...]:
        """Who may have answered for this engine."""
        return engine.fingerprints if isinstance(engine, StandsIn) else (engine.fingerprint,)

    async def close(self) -> None:
        """Close every engine."""
        for engine in self.engines:
            await engine.close()
