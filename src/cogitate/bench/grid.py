"""What a benchmark run consists of: tasks × models × strategies × budgets × seeds, and pools of samples."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast

from cogitate.assembly.factory import nearest
from cogitate.core.codec import encode
from cogitate.core.errors import InvalidInput
from cogitate.core.usage import UNITS, Budget

AT_MOST: Final = 64
"""Questions in flight at once, each of them once a cell."""
MAX_CELLS: Final = 20_000

_BLOCK: Final = ("tasks", "models", "strategies", "n", "vary", "budgets", "seeds", "limit")
_POOL: Final = (*("tasks", "models", "samples", "process", "select", "scorers", "seeds", "limit"),)
_TOP: Final = ("name", *_BLOCK, "at_most", "budget", "run", "pool")
_VARIABLE = re.compile(r"\{([a-z_][a-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Point:
    """One strategy of the grid."""

    spec: str
    """As written, with its variables filled in."""
    line: str
    """The family it belongs to: the spec with the varied number left open."""
    n: int | None
    """That number."""
    row: str
    """Where it stands, for messages: `row 7 of strategies`."""


@dataclass(frozen=True, slots=True)
class Block:
    """Every task with every model, strategy, budget and seed."""

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    """Labels."""
    points: tuple[Point, ...]
    budgets: tuple[Budget, ...] = (Budget(),)
    """Of each question."""
    seeds: tuple[int, ...] = (0,)
    limit: int | None = None
    """Only the first so many questions of each task."""


@dataclass(frozen=True, slots=True)
class Draws:
    """Samples to be drawn once, from which selection methods are judged offline."""

    tasks: tuple[str, ...]
    models: tuple[str, ...]
    samples: int
    process: str = "answer()"
    select: tuple[str, ...] = ()
    """Selection methods, for whoever reduces the pool."""
    scorers: tuple[str, ...] = ()
    """What scores every sample once."""
    seeds: tuple[int, ...] = (0,)
    limit: int | None = None
    row: str = ""


@dataclass(frozen=True)
class Grid:
    """A whole benchmark, as a file or flags describe it; nothing is looked up yet."""

    name: str
    models: Mapping[str, Any]
    """Label to spec, or to a mapping of roles to specs."""
    blocks: tuple[Block, ...] = ()
    pools: tuple[Draws, ...] = ()
    at_most: int = AT_MOST
    budget: Budget = field(default_factory=Budget)
    """Of the whole run."""

    @classmethod
    def read(cls, path: Path) -> Grid:
        """A grid from a TOML file.

        Raises:
            InvalidInput: naming the file, and the row that is at fault.
        """
        try:
            raw = tomllib.loads(path.read_bytes().decode("utf-8-sig"))
        except OSError as error:
            raise InvalidInput(
                f"the grid {path} was asked for, but it cannot be read ({error.strerror or error})"
            ) from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InvalidInput(f"{path.name} is not TOML: {error}") from None
        try:
            return cls.of({"name": path.stem, **raw})
        except InvalidInput as error:
            raise InvalidInput(f"{path.name}: {error}") from None

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Grid:
        """A grid from the values of such a file.

        >>> grid = Grid.of({
        ...     "tasks": ["world:easy(problems=10)"],
        ...     "models": ["sim:chain"],
        ...     "strategies": ["best_of(n={n})", "greedy"],
        ...     "n": [1, 4],
        ... })
        >>> [(point.spec, point.line, point.n) for point in grid.blocks[0].points]
        [('best_of(n=1)', 'best_of(n={n})', 1), ('best_of(n=4)', 'best_of(n={n})', 4), ('greedy', 'greedy', None)]

        Raises:
            InvalidInput: for what is unknown, missing or no value of its kind.
        """
        _known(raw, _TOP, "the grid")
        models = _Models()
        shared = {name: raw[name] for name in _BLOCK if name in raw}
        if "models" in raw:
            shared["models"] = models.labels(raw["models"], "models")
        blocks: list[Mapping[str, Any]] = _tables(raw, "run")
        pools = _tables(raw, "pool")
        if not blocks and "strategies" in raw:
            blocks = [dict[str, Any]()]
        made = cls(
            _text(raw.get("name", "bench"), "name"),
            MappingProxyType(models.specs),
            tuple(
                _block({**shared, **block}, models, f"run {i}, " if raw.get("run") else "")
                for i, block in enumerate(blocks, 1)
            ),
            tuple(
                _draws({**shared, **pool}, models, f"pool {i}") for i, pool in enumerate(pools, 1)
            ),
            _whole(raw.get("at_most", AT_MOST), "at_most"),
            _budget(raw.get("budget", {}), "budget"),
        )
        if not made.blocks and not made.pools:
            raise InvalidInput(
                "it asks for nothing; give it strategies, or a [[pool]] with the number of samples"
            )
        return made

    def to_json(self) -> dict[str, Any]:
        """The grid as JSON values, for the run folder."""
        return {
            "name": self.name,
            "models": encode(dict(self.models)),
            "blocks": [encode(block) for block in self.blocks],
            "pools": [encode(pool) for pool in self.pools],
            "budget": encode(self.budget),
        }


class _Models:
    """Collects what the grid calls models, each under one label."""

    def __init__(self) -> None:
        self.specs: dict[str, Any] = {}

    def labels(self, raw: Any, where: str) -> tuple[str, ...]:
        if isinstance(raw, Mapping):
            named = cast("Mapping[str, Any]", raw)
            return tuple(self._add(label, spec, where) for label, spec in named.items())
        return tuple(
            self._add(spec, self.specs.get(spec, spec), where) for spec in _texts(raw, where)
        )

    def _add(self, label: str, spec: Any, where: str) -> str:
        if isinstance(spec, Mapping):
            roles = cast("Mapping[str, Any]", spec)
            spec = {role: _text(held, f"{where}.{label}.{role}") for role, held in roles.items()}
        else:
            spec = _text(spec, f"{where}.{label}")
        if self.specs.setdefault(label, spec) != spec:
            raise InvalidInput(
                f"the model label {label!r} stands for two models; name one otherwise"
            )
        return label


def _block(raw: Mapping[str, Any], models: _Models, where: str) -> Block:
    _known(raw, _BLOCK, f"{where or 'the grid'}".rstrip(", "))
    vary = {"n": raw["n"]} if "n" in raw else {}
    vary |= _mapping(raw.get("vary", {}), f"{where}vary")
    lists = {name: _numbers(held, f"{where}{name}") for name, held in vary.items()}
    rows = _list(raw.get("strategies", ()), f"{where}strategies")
    points = [
        point
        for number, row in enumerate(rows, 1)
        for point in _points(row, lists, f"{where}row {number} of strategies")
    ]
    if not points:
        raise InvalidInput(f"{where}strategies is empty; give at least one, such as best_of(n=4)")
    budgets = _list(raw.get("budgets", [{}]), f"{where}budgets")
    return Block(
        _some(_texts(raw.get("tasks", ()), f"{where}tasks"), f"{where}tasks"),
        _some(_labels(raw, models, where), f"{where}models"),
        tuple(points),
        tuple(_budget(held, f"{where}budgets") for held in budgets) or (Budget(),),
        _seeds(raw, where),
        _limit(raw, where),
    )


def _draws(raw: Mapping[str, Any], models: _Models, where: str) -> Draws:
    given = {
        name: held
        for name, held in raw.items()
        if name not in ("strategies", "n", "vary", "budgets")
    }
    _known(given, _POOL, where)
    where += ", "
    return Draws(
        _some(_texts(given.get("tasks", ()), f"{where}tasks"), f"{where}tasks"),
        _some(_labels(given, models, where), f"{where}models"),
        _whole(given.get("samples", 0), f"{where}samples"),
        _text(given.get("process", "answer()"), f"{where}process"),
        _texts(given.get("select", ()), f"{where}select"),
        _texts(given.get("scorers", ()), f"{where}scorers"),
        _seeds(given, where),
        _limit(given, where),
        where.rstrip(", "),
    )


def _points(row: Any, lists: Mapping[str, Sequence[Any]], where: str) -> Iterator[Point]:
    """The strategies of one row: one, or one a value of what it varies."""
    if isinstance(row, str):
        used = list(dict.fromkeys(_VARIABLE.findall(row)))
        for name in used:
            if name not in lists:
                raise InvalidInput(
                    f"{where}: {row!r} varies {name}, but no values are given for it; write "
                    f"{name} = [1, 2, 4] beside strategies, or vary.{name} = […]"
                )
        first = "n" if "n" in used else (used[0] if used else "")
        ordered = [first, *(name for name in used if name != first)] if used else []
        for values in itertools.product(*(lists[name] for name in reversed(ordered))):
            chosen = dict(zip(reversed(ordered), values, strict=True))
            yield _point(row, chosen, first, "", where)
        return
    table = _mapping(row, where)
    spec, line = _text(table.get("spec", ""), f"{where}, spec"), _text(table.get("line", ""), where)
    own = {k: _numbers(v, f"{where}, {k}") for k, v in table.items() if k not in ("spec", "line")}
    unknown = [name for name in _VARIABLE.findall(spec) if name not in own and name not in lists]
    if unknown:
        raise InvalidInput(f"{where}: {spec!r} varies {unknown[0]}, but no values are given for it")
    used = list(dict.fromkeys((*own, *_VARIABLE.findall(spec))))
    columns = {name: own.get(name, lists.get(name, ())) for name in used}
    if len({len(held) for held in columns.values()}) > 1:
        told = ", ".join(f"{name} has {len(held)}" for name, held in columns.items())
        raise InvalidInput(f"{where}: its lists go side by side, but {told} values")
    first = "n" if "n" in columns else (used[0] if used else "")
    for values in zip(*columns.values(), strict=True) if columns else [()]:
        yield _point(spec, dict(zip(used, values, strict=True)), first, line or spec, where)


def _point(spec: str, chosen: Mapping[str, Any], first: str, line: str, where: str) -> Point:
    def filled(text: str, but: str = "") -> str:
        return _VARIABLE.sub(
            lambda m: str(chosen[m[1]]) if m[1] in chosen and m[1] != but else m[0], text
        )

    varied = chosen.get(first)
    n = varied if isinstance(varied, int) else None
    return Point(filled(spec), line or filled(spec, first if n is not None else ""), n, where)


# ------------------------------------------------------------------------------ values of the file


def _known(raw: Mapping[str, Any], names: Sequence[str], where: str) -> None:
    for name in raw:
        if name not in names:
            raise InvalidInput(f"{where} has no setting {name!r}{nearest(name, names)}")


def _tables(raw: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    return [_mapping(held, name) for held in _list(raw.get(name, ()), name)]


def _labels(raw: Mapping[str, Any], models: _Models, where: str) -> tuple[str, ...]:
    held = raw.get("models", ())
    return models.labels(list(held) if isinstance(held, tuple) else held, f"{where}models")  # pyright: ignore[reportUnknownArgumentType]


def _seeds(raw: Mapping[str, Any], where: str) -> tuple[int, ...]:
    seeds = _list(raw.get("seeds", [0]), f"{where}seeds")
    for seed in seeds:
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise InvalidInput(f"{where}seeds: a seed is a whole number, not {seed!r}")
    if len(set(seeds)) < len(seeds) or not seeds:
        raise InvalidInput(f"{where}seeds: give at least one, and each once, not {list(seeds)}")
    return tuple(seeds)


def _limit(raw: Mapping[str, Any], where: str) -> int | None:
    return _whole(raw["limit"], f"{where}limit") if raw.get("limit") is not None else None


def _budget(raw: Any, where: str) -> Budget:
    held = _mapping(raw, where)
    _known(held, UNITS, where)
    for unit, amount in held.items():
        if isinstance(amount, bool) or not isinstance(amount, int | float) or amount <= 0:
            raise InvalidInput(f"{where}: {unit} = {amount!r} buys nothing; give a number above 0")
    return Budget(**held)


def _text(raw: Any, where: str) -> str:
    if not isinstance(raw, str):
        raise InvalidInput(f"{where} must be text, not {raw!r}")
    return raw


def _texts(raw: Any, where: str) -> tuple[str, ...]:
    return tuple(_text(held, where) for held in _list(raw, where))


def _some(texts: tuple[str, ...], where: str) -> tuple[str, ...]:
    if not texts:
        raise InvalidInput(f"{where} is empty; give at least one")
    if len(set(texts)) < len(texts):
        twice = next(text for i, text in enumerate(texts) if text in texts[:i])
        raise InvalidInput(f"{where} names {twice!r} twice; name it once")
    return texts


def _list(raw: Any, where: str) -> Sequence[Any]:
    if isinstance(raw, str):
        return [raw]
    if not isinstance(raw, list | tuple):
        raise InvalidInput(f"{where} must be a list, not {raw!r}")
    return cast("Sequence[Any]", raw)


def _mapping(raw: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise InvalidInput(f"{where} must be a table, not {raw!r}")
    return cast("Mapping[str, Any]", raw)


def _numbers(raw: Any, where: str) -> Sequence[Any]:
    held = _list([raw] if isinstance(raw, int | float) else raw, where)
    for value in held:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise InvalidInput(f"{where}: {value!r} is neither a number nor text")
    if not held or (len(set(held)) < len(held) and where.endswith("n")):
        raise InvalidInput(f"{where}: give at least one value, and each once, not {list(held)}")
    return held


def _whole(raw: Any, where: str) -> int:
    if not isinstance(raw, int) or isinstance(raw, bool) or raw < 1:
        raise InvalidInput(f"{where} must be a whole number of at least 1, not {raw!r}")
    return raw
