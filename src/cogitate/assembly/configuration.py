"""One TOML file and the environment; every value remembers where it came from.

This is the only place, with the apps, that reads the environment. Keys are never in the file: it
names the environment variable that holds one.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from cogitate.core.errors import InvalidInput
from cogitate.core.usage import UNITS, Budget
from cogitate.drive.cache import DEFAULT_BYTES

from .factory import nearest
from .gateway_settings import GatewaySettings, read_gateway
from .values import amount, check_url

ROLES: Final = ("embedder", "judge", "policy", "refiner", "retriever", "sketcher", "verifier")
"""The roles a model can be given for; a missing one falls back to `policy`."""

DIALECTS: Final = ("generic", "llamacpp", "ollama", "openai", "sglang", "vllm")
"""The kinds of OpenAI-compatible server."""

SEVERAL: Final = " | "
"""Between the specs of servers that stand in for one another."""

UNISOLATED: Final = "sandbox.allow_unisolated_execution"

DEFAULT_MODEL: Final = "smollm2"
"""The model where none is named."""

FILE_NAME: Final = "cogitate.toml"

VARIABLES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "COGITATE_CONFIG": "path of the configuration file",
        "COGITATE_MODEL": "default model",
        "COGITATE_STRATEGY": "default strategy",
        "COGITATE_TOKENS": "default budget of output tokens",
        "COGITATE_CALLS": "default budget of calls",
        "COGITATE_SECONDS": "default budget of seconds",
        "COGITATE_USD": "default budget of money",
        "COGITATE_FLOPS": "default budget of FLOPs",
        "COGITATE_CACHE": "`off` or `on` for the reply cache, or its directory",
        "COGITATE_DATA": "folder of the data sets that benchmarks read",
    }
)
"""The environment variables that override the file."""

_TEXT_VARIABLES: Final = {
    "COGITATE_MODEL": "model",
    "COGITATE_STRATEGY": "strategy",
    "COGITATE_DATA": "data",
}
_BUDGET_VARIABLES: Final = {
    "COGITATE_TOKENS": "tokens_out",
    "COGITATE_CALLS": "calls",
    "COGITATE_SECONDS": "seconds",
    "COGITATE_USD": "usd",
    "COGITATE_FLOPS": "flops",
}
_SWITCH: Final = {
    **dict.fromkeys(("off", "no", "false", "0"), False),
    **dict.fromkeys(("on", "yes", "true", "1"), True),
}
_SECRET = re.compile(r"(?i)(^|_)(api_?key|key|secret|password|bearer|credential)s?$")
_SECRET_VALUE = re.compile(r"(?i)^(sk|pk|hf|gsk|xai|ghp|bearer)[-_ ][\w-]{12,}")
_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


@dataclass(frozen=True)
class Setting:
    """A value that is in force, and why."""

    value: Any
    source: str
    """`default`, `environment NAME`, or the file and table it stands in."""


@dataclass(frozen=True)
class Price:
    """United States dollars per million tokens."""

    input: float
    output: float
    cached: float | None = None
    """Input tokens found in the server's cache; the price of `input` where it is not given."""


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible server under a name of its own."""

    name: str
    base_url: str
    model: str
    key_variable: str = ""
    """Environment variable that holds its key; empty where it needs none."""
    dialect: str = ""
    """Kind of server, such as `vllm`; empty: it is asked."""
    price: Price | None = None
    format: str = ""
    """How a reward model reads and speaks, such as `qwen`; empty: it is no reward model."""


@dataclass(frozen=True)
class Configuration:
    """What is in force. Made by `load`; never changes afterwards."""

    path: Path | None = None
    """The file it was read from."""
    found: str = "default"
    """Why it is that file."""
    settings: Mapping[str, Setting] = field(default_factory=lambda: MappingProxyType({}))
    """Every value by its dotted name, such as `budget.tokens_out`."""
    aliases: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    roles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    endpoints: Mapping[str, Endpoint] = field(default_factory=lambda: MappingProxyType({}))
    prices: Mapping[str, Price] = field(default_factory=lambda: MappingProxyType({}))
    """By model name."""
    gateway: GatewaySettings = field(default_factory=GatewaySettings)
    """What `cogitate serve` offers."""
    environment: Mapping[str, str] = field(
        default_factory=lambda: MappingProxyType({}), repr=False, compare=False
    )

    @property
    def model(self) -> str:
        """The default model spec."""
        return str(self._value("model", DEFAULT_MODEL))

    @property
    def strategy(self) -> str:
        """The default strategy spec; empty: chosen by the kind of answer."""
        return str(self._value("strategy", ""))

    @property
    def budget(self) -> Budget:
        """The default budget."""
        return Budget(**{unit: self._value(f"budget.{unit}", None) for unit in UNITS})

    @property
    def data_directory(self) -> Path | None:
        """The folder of the data sets that benchmarks read; `None` where none is named."""
        named = self._value("data", "")
        return Path(str(named)).expanduser() if named else None

    @property
    def caches(self) -> bool:
        """Whether replies of servers and local models are kept for the next run; on where it was loaded."""
        return bool(self._value("cache.enabled", False))

    @property
    def cache_directory(self) -> Path:
        """Where they are kept."""
        named = self._value("cache.directory", "")
        if named:
            return Path(str(named)).expanduser()
        import platformdirs

        return Path(platformdirs.user_cache_dir("cogitate")) / "replies"

    @property
    def cache_bytes(self) -> int:
        """How large the cache may grow."""
        return int(self._value("cache.max_bytes", DEFAULT_BYTES))

    @property
    def allows_unisolated_execution(self) -> bool:
        """Whether programs that models write may run where nothing isolates them; off."""
        return bool(self._value(UNISOLATED, False))

    def allowing_unisolated_execution(self) -> Configuration:
        """The same, with that allowed by the caller."""
        allowed = {**self.settings, UNISOLATED: Setting(True, "the caller")}
        return replace(self, settings=MappingProxyType(allowed))

    def key(self, variable: str) -> str:
        """The key that an environment variable holds; empty where it is not set."""
        return self.environment.get(variable, "").strip()

    def rows(self) -> list[tuple[str, str, str]]:
        """Name, value and source of everything in force, for `doctor --config`."""
        rows = [("file", str(self.path or "none"), self.found)]
        rows += [(name, str(s.value), s.source) for name, s in sorted(self.settings.items())]
        if "model" not in self.settings:
            rows.append(("model", DEFAULT_MODEL, "default"))
        if "strategy" not in self.settings:
            rows.append(("strategy", "by the kind of answer", "default"))
        if not self.budget.bounds():
            rows.append(("budget", "no bound", "default"))
        if "cache.directory" not in self.settings:
            rows.append(("cache.directory", str(self.cache_directory), "default"))
        held = {e.key_variable for e in self.endpoints.values() if e.key_variable}
        rows += [
            (f"key {v}", "set" if self.key(v) else "not set", f"environment {v}")
            for v in sorted(held)
        ]
        return rows

    def _value(self, name: str, default: Any) -> Any:
        setting = self.settings.get(name)
        return default if setting is None else setting.value


def find(environment: Mapping[str, str], directory: Path) -> tuple[Path | None, str]:
    """The configuration file and why it is the one: `COGITATE_CONFIG`, the directory, the user's own."""
    named = environment.get("COGITATE_CONFIG", "")
    if named:
        return Path(named).expanduser(), "environment COGITATE_CONFIG"
    here = directory / FILE_NAME
    if here.is_file():
        return here, "working directory"
    import platformdirs

    own = Path(platformdirs.user_config_dir("cogitate", appauthor=False)) / FILE_NAME
    return (own, "user's configuration directory") if own.is_file() else (None, "")


def load(
    path: str | Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
) -> Configuration:
    """Read the file and the environment.

    Args:
        path: the file; by default the one `find` finds, and none is no error.
        environment: by default that of the process.
        directory: where to look first; by default the working directory.

    Raises:
        InvalidInput: for a missing or malformed file, an unknown name, or a key in the file.
    """
    env = dict(os.environ) if environment is None else dict(environment)
    file, why = find(env, directory or Path.cwd()) if path is None else (Path(path), "the caller")
    reader = _Reader(file)
    if file is not None:
        reader.read(_toml(file))
    reader.override(env)
    return Configuration(
        file,
        why or "default",
        MappingProxyType(reader.settings),
        MappingProxyType(reader.aliases),
        MappingProxyType(reader.roles),
        MappingProxyType(reader.endpoints),
        MappingProxyType(reader.prices),
        reader.gateway,
        MappingProxyType(env),
    )


def _toml(file: Path) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            return tomllib.load(stream)
    except FileNotFoundError:
        raise InvalidInput(
            f"there is no configuration file {file}; make it or unset COGITATE_CONFIG"
        ) from None
    except OSError as error:
        raise InvalidInput(
            f"the configuration file {file} cannot be read: {error.strerror}"
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"the configuration file {file} is not TOML: {error}") from None


class _Reader:
    """Collects values while the file is walked; mutable, and gone after `load`."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.settings: dict[str, Setting] = {"cache.enabled": Setting(True, "default")}
        self.aliases: dict[str, str] = {}
        self.roles: dict[str, str] = {}
        self.endpoints: dict[str, Endpoint] = {}
        self.prices: dict[str, Price] = {}
        self.gateway = GatewaySettings()

    def read(self, raw: dict[str, Any]) -> None:
        self.refuse_keys(raw, "")
        tables: dict[str, Callable[[str, Any], None]] = {
            "aliases": self.alias,
            "roles": self.role,
            "endpoints": self.endpoint,
            "prices": self.price,
            "budget": self.limit,
            "cache": self.cached,
            "sandbox": self.sandboxed,
        }
        for name, value in raw.items():
            if name in ("model", "strategy", "data"):
                self.keep(name, self.text(name, value))
            elif name == "gateway":
                self.gateway = read_gateway(self.table(name, value), self.file, self.keep)
            elif name in tables:
                for inner, held in self.table(name, value).items():
                    tables[name](inner, held)
            else:
                raise self.error(
                    f"has no setting {name!r}{nearest(name, ['model', 'strategy', 'data', 'gateway', *tables])}"
                )

    def override(self, environment: Mapping[str, str]) -> None:
        for variable, name in _TEXT_VARIABLES.items():
            if environment.get(variable):
                self.settings[name] = Setting(environment[variable], f"environment {variable}")
        if held := environment.get("COGITATE_CACHE"):
            source, said = "environment COGITATE_CACHE", _SWITCH.get(held.lower())
            self.settings["cache.enabled"] = Setting(said is not False, source)
            if said is None:
                self.settings["cache.directory"] = Setting(held, source)
        for variable, unit in _BUDGET_VARIABLES.items():
            if environment.get(variable):
                held = amount(environment[variable], unit, f"the environment variable {variable}")
                self.settings[f"budget.{unit}"] = Setting(held, f"environment {variable}")

    def alias(self, name: str, value: Any) -> None:
        self.aliases[name] = self.keep(f"aliases.{name}", self.text(f"aliases.{name}", value))

    def role(self, name: str, value: Any) -> None:
        if name not in ROLES:
            raise self.error(f"has no role {name!r}{nearest(name, ROLES)}")
        specs: list[Any] = cast(list[Any], value) if isinstance(value, list) else [value]
        text = SEVERAL.join(self.text(f"roles.{name}", spec) for spec in specs or [None])
        self.roles[name] = self.keep(f"roles.{name}", text)

    def cached(self, name: str, value: Any) -> None:
        if name not in (known := ("enabled", "directory", "max_bytes")):
            raise self.error(f"has no setting {name!r} in [cache]{nearest(name, known)}")
        if name == "enabled" and not isinstance(value, bool):
            raise self.error("needs true or false at cache.enabled")
        if name == "directory":
            value = self.text("cache.directory", value)
        elif name == "max_bytes":
            value = amount(value, "bytes", f"cache.max_bytes in {self.file}")
        self.keep(f"cache.{name}", value)

    def sandboxed(self, name: str, value: Any) -> None:
        if f"sandbox.{name}" != UNISOLATED or not isinstance(value, bool):
            raise self.error(
                f"has no setting [sandbox] {name}; there is {UNISOLATED} = true or false"
            )
        self.keep(UNISOLATED, value)

    def limit(self, unit: str, value: Any) -> None:
        if unit not in UNITS:
            raise self.error(f"has no budget unit {unit!r}{nearest(unit, UNITS)}")
        self.keep(f"budget.{unit}", amount(value, unit, f"budget.{unit} in {self.file}"))

    def price(self, model: str, value: Any) -> None:
        self.prices[model] = self.priced(f"prices.{model}", value)
        self.keep(f"prices.{model}", self.prices[model])

    def endpoint(self, name: str, value: Any) -> None:
        at = f"endpoints.{name}"
        held = self.table(at, value)
        known = ("base_url", "model", "key_variable", "dialect", "price", "format")
        for inner in held:
            if inner not in known:
                raise self.error(f"has no setting {inner!r} in {at}{nearest(inner, known)}")
        for needed in ("base_url", "model"):
            if needed not in held:
                raise self.error(f"lacks {needed} in {at}; an endpoint needs base_url and model")
        url = self.text(f"{at}.base_url", held["base_url"])
        check_url(url, f"{at}.base_url in {self.file}")
        variable = self.text(f"{at}.key_variable", held.get("key_variable", ""), empty=True)
        if variable and not _VARIABLE.fullmatch(variable):
            raise self.error(
                f"gives {at}.key_variable something that is no name of an environment variable, such as "
                "MY_SERVER_KEY; put the key itself into that variable, not into the file"
            )
        price = self.priced(f"{at}.price", held["price"]) if "price" in held else None
        dialect = self.text(f"{at}.dialect", held.get("dialect", ""), empty=True)
        if dialect and dialect not in DIALECTS:
            raise self.error(f"has no dialect {dialect!r} in {at}{nearest(dialect, DIALECTS)}")
        form = self.text(f"{at}.format", held.get("format", ""), empty=True)
        model = self.text(f"{at}.model", held["model"])
        self.endpoints[name] = Endpoint(name, url, model, variable, dialect, price, form)
        for inner, setting in held.items():
            self.keep(f"{at}.{inner}", price if inner == "price" else setting)

    def priced(self, at: str, value: Any) -> Price:
        held = self.table(at, value)
        for inner in held:
            if inner not in ("input", "output", "cached"):
                raise self.error(
                    f"has no setting {inner!r} in {at}{nearest(inner, ('input', 'output', 'cached'))}"
                )
        if "input" not in held or "output" not in held:
            raise self.error(f"needs input and output in {at}, in dollars per million tokens")
        amounts = {
            k: amount(v, "usd", f"{at}.{k} in {self.file}", zero=True) for k, v in held.items()
        }
        return Price(**amounts)

    def refuse_keys(self, raw: Any, at: str) -> None:
        if isinstance(raw, dict):
            for name, value in cast(dict[str, Any], raw).items():
                here = f"{at}.{name}" if at else name
                if _SECRET.search(name) and not isinstance(value, dict):
                    raise self.error(
                        f"holds a key at {here}; take it out, put it into an environment variable and "
                        "name that in key_variable"
                    )
                self.refuse_keys(value, here)
        elif isinstance(raw, str) and _SECRET_VALUE.search(raw):
            raise self.error(
                f"holds what looks like a key at {at}; put it into an environment variable"
            )

    def table(self, at: str, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(f"needs a table at {at}, such as [{at}]")
        return cast(dict[str, Any], value)

    def text(self, at: str, value: Any, *, empty: bool = False) -> str:
        if not isinstance(value, str) or not (value or empty):
            raise self.error(f"needs a string at {at}")
        return value

    def keep(self, name: str, value: Any) -> Any:
        self.settings[name] = Setting(value, str(self.file))
        return value

    def error(self, what: str) -> InvalidInput:
        return InvalidInput(f"the configuration file {self.file} {what}")
