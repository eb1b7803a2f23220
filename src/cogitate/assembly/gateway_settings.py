"""The `[gateway]` table of the configuration: what the server offers, and the most a request may take."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, cast

from cogitate.core.errors import InvalidInput
from cogitate.core.usage import UNITS, Budget

from .factory import nearest
from .values import amount

EFFORTS: Final = ("none", "minimal", "low", "medium", "high", "xhigh")
"""The values of `reasoning_effort` that clients send."""

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _default_efforts() -> Mapping[str, Budget]:
    return MappingProxyType(
        {
            "none": Budget(calls=1),
            "minimal": Budget(calls=2),
            "low": Budget(calls=8),
            "medium": Budget(calls=32),
            "high": Budget(calls=128),
            "xhigh": Budget(calls=512),
        }
    )


@dataclass(frozen=True)
class GatewaySettings:
    """What `cogitate serve` offers, and its limits."""

    host: str = "127.0.0.1"
    port: int = 8080
    models: tuple[str, ...] = ()
    """What clients may name; empty: the aliases, the endpoints and the default model."""
    allow_any_model: bool = False
    """Whether a client may name any model spec: files and addresses this machine can reach."""
    strategy: str = ""
    """For requests that name none; empty: they pass through."""
    strategies: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Strategy specs by a name of their own."""
    efforts: Mapping[str, Budget] = field(default_factory=_default_efforts)
    """What each `reasoning_effort` may spend under a strategy."""
    completion_factor: float = 1.0
    """All tokens that a strategy may generate for each of `max_completion_tokens`."""
    most: Budget = field(default_factory=lambda: Budget(tokens_out=131_072, calls=512, seconds=600))
    """The most one request may ask for; what it gets where it asks for nothing."""
    max_body_bytes: int = 32 * 1024 * 1024
    max_depth: int = 64
    """Lists and objects inside one another in a request."""
    max_messages: int = 2048
    max_candidates: int = 64
    """The largest `n`."""
    max_samples: int = 4096
    """What a strategy may ask for side by side, such as `width` times `branch`."""
    body_seconds: float = 30.0
    """For sending a request's head, and again for its body."""
    in_flight: int = 64
    """Requests served at once."""
    queue: int = 256
    """Requests that may wait for their turn."""
    upstream_concurrency: int = 256
    """Calls to one server in flight at once, by all requests."""
    grace_s: float = 20.0
    """For requests in flight at a shutdown."""
    stream_usage: bool = True
    """Whether servers are asked what a passed-through stream cost."""
    allow_private_images: bool = False
    """Whether image addresses may point into private networks."""
    open_metrics: bool = False
    """Whether `/metrics` needs no key where keys are on."""
    live: bool = True
    """Whether the live view is served at `/ui`."""
    journals: str = ""
    """Directory for a journal of each request; empty: none is kept."""
    cache: bool = False
    """Whether replies are kept and used across requests."""
    accounts: str = ""
    """Database URL of keys, quotas and usage, such as `sqlite:///accounts.db`; empty: no key is needed."""
    accounts_variable: str = ""
    """Environment variable that holds that URL, where it has a password."""
    store_prompts: bool = False
    """Whether the audit record holds what was asked."""
    retention_days: float = 30.0
    """After how many days stored prompts are dropped."""


def read_gateway(
    raw: Mapping[str, Any], file: Any, keep: Callable[[str, Any], Any]
) -> GatewaySettings:
    """The settings in a `[gateway]` table; `keep` is told each one that was given.

    Raises:
        InvalidInput: naming the file and the setting.
    """
    found: dict[str, Any] = {}
    for name, value in raw.items():
        read = _READERS.get(name)
        if read is None:
            raise _wrong(file, f"has no setting {name!r} in [gateway]{nearest(name, _READERS)}")
        found[name] = read(value, f"gateway.{name}", file)
        _kept(f"gateway.{name}", found[name], keep)
    if found.get("accounts") and found.get("accounts_variable"):
        raise _wrong(file, "gives both accounts and accounts_variable in [gateway]; give one")
    return GatewaySettings(**found)


def _kept(name: str, value: Any, keep: Callable[[str, Any], Any]) -> None:
    if isinstance(value, Mapping):
        for inner, held in cast(Mapping[str, Any], value).items():
            keep(f"{name}.{inner}", held)
    else:
        keep(name, value)


# ---------------------------------------------------------------------------- one setting each

_Reader = Callable[[Any, str, Any], Any]


def _text(value: Any, at: str, file: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong(file, f"needs a string at {at}")
    return value


def _flag(value: Any, at: str, file: Any) -> bool:
    if not isinstance(value, bool):
        raise _wrong(file, f"needs true or false at {at}")
    return value


def _number(value: Any, at: str, file: Any) -> float:
    return amount(value, "seconds", f"{at} in {file}")


def _whole(value: Any, at: str, file: Any) -> int:
    return int(amount(value, "bytes", f"{at} in {file}"))


def _none_or_more(value: Any, at: str, file: Any) -> int:
    return int(amount(value, "bytes", f"{at} in {file}", zero=True))


def _port(value: Any, at: str, file: Any) -> int:
    port = _none_or_more(value, at, file)
    if port > 65_535:
        raise _wrong(file, f"gives {at} as {port}; a port is at most 65535")
    return port


def _names(value: Any, at: str, file: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _wrong(file, f'needs a list of names at {at}, such as ["my-model"]')
    return tuple(_text(item, at, file) for item in cast(list[Any], value))


def _table(value: Any, at: str, file: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise _wrong(file, f"needs a table at {at}, such as [{at}]")
    return cast(dict[str, Any], value)


def _strategy(value: Any, at: str, file: Any) -> str:
    from .spec import SpecError, read

    spec = _text(value, at, file)
    try:
        return str(read(spec))
    except SpecError as error:
        raise _wrong(file, f"gives {at} no strategy: {error}") from None


def _strategies(value: Any, at: str, file: Any) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for name, spec in _table(value, at, file).items():
        if not _NAME.fullmatch(name):
            raise _wrong(
                file, f"has the name {name[:40]!r} in {at}; letters, digits, . _ and - make one"
            )
        found[name] = _strategy(spec, f"{at}.{name}", file)
    return MappingProxyType(found)


def _budget(value: Any, at: str, file: Any) -> Budget:
    bounds: dict[str, Any] = {}
    for unit, held in _table(value, at, file).items():
        if unit not in UNITS:
            raise _wrong(file, f"has no budget unit {unit!r} in {at}{nearest(unit, UNITS)}")
        bounds[unit] = amount(held, unit, f"{at}.{unit} in {file}")
    return Budget(**bounds)


def _efforts(value: Any, at: str, file: Any) -> Mapping[str, Budget]:
    found = dict(_default_efforts())
    for name, held in _table(value, at, file).items():
        if name not in EFFORTS:
            raise _wrong(file, f"has no effort {name!r} in {at}{nearest(name, EFFORTS)}")
        found[name] = _budget(held, f"{at}.{name}", file)
    return MappingProxyType(found)


def _most(value: Any, at: str, file: Any) -> Budget:
    bounds = dict(GatewaySettings().most.bounds()) | dict(_budget(value, at, file).bounds())
    return Budget(**cast(dict[str, Any], bounds))


def _database(value: Any, at: str, file: Any) -> str:
    url = _text(value, at, file)
    if re.match(r"[^:/]+://[^/@]*:[^/@]*@", url):
        raise _wrong(
            file,
            f"gives {at} a password; put the address into an environment variable and name that in "
            "gateway.accounts_variable",
        )
    return url


def _variable(value: Any, at: str, file: Any) -> str:
    name = _text(value, at, file)
    if not _VARIABLE.fullmatch(name):
        raise _wrong(file, f"gives {at} something that is no name of an environment variable")
    return name


def _wrong(file: Any, what: str) -> InvalidInput:
    return InvalidInput(f"the configuration file {file} {what}")


_READERS: Final[Mapping[str, _Reader]] = MappingProxyType(
    {
        "host": _text,
        "port": _port,
        "models": _names,
        "allow_any_model": _flag,
        "strategy": _strategy,
        "strategies": _strategies,
        "efforts": _efforts,
        "completion_factor": _number,
        "most": _most,
        "max_body_bytes": _whole,
        "max_depth": _whole,
        "max_messages": _whole,
        "max_candidates": _whole,
        "max_samples": _whole,
        "body_seconds": _number,
        "in_flight": _whole,
        "queue": _none_or_more,
        "upstream_concurrency": _whole,
        "grace_s": _number,
        "stream_usage": _flag,
        "allow_private_images": _flag,
        "open_metrics": _flag,
        "live": _flag,
        "journals": _text,
        "cache": _flag,
        "accounts": _database,
        "accounts_variable": _variable,
        "store_prompts": _flag,
        "retention_days": _number,
    }
)
