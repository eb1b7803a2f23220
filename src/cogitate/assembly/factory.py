"""What a factory returns: something that runs, and prints as the call that made it."""

from __future__ import annotations

import difflib
import inspect
import math
import types
import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Annotated, Any, Concatenate, Generic, Literal, ParamSpec, Union, cast

from cogitate.core.errors import InvalidInput

P = ParamSpec("P")
Family = Literal["strategy", "scorer", "process", "schedule", "model", "task"]

A_STRATEGY = Annotated[Any, "strategy"]
"""The annotation of a factory's argument that takes a strategy."""
A_SCORER = Annotated[Any, "scorer"]
"""One of whole answers."""
A_STEP_SCORER = Annotated[Any, "scorer", "steps"]
"""One that must judge partial answers, where a vote means nothing."""
A_PROCESS = Annotated[Any, "process"]
COUNT = int | Annotated[Any, "schedule"]
"""A number, or a schedule of numbers by depth."""


def nearest(name: str, known: Collection[str]) -> str:
    """`; did you mean ...?`, or what there is.

    >>> nearest("beam_serch", ["beam_search", "vote"])
    '; did you mean beam_search?'
    """
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(sorted(known))}" if known else "; it takes none"


@dataclass(frozen=True)
class Parameter:
    """One argument of a factory."""

    name: str
    hint: Any
    default: Any
    """`inspect.Parameter.empty` where it must be given."""

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty

    def __str__(self) -> str:
        return self.name if self.required else f"{self.name}={printed(self.default)}"


@dataclass(frozen=True)
class Factory(Generic[P]):
    """A named way of making a strategy, a scorer or a process.

    Calling it checks the arguments at once and remembers them. `make` gets the kind of answer first
    and fills what was left open, such as the scorer, by that kind.
    """

    family: Family
    make: Callable[Concatenate[str, P], Any]

    @property
    def name(self) -> str:
        """As written in a spec."""
        return cast(Any, self.make).__name__

    @property
    def summary(self) -> str:
        """One line for help texts."""
        return (inspect.getdoc(self.make) or "").split("\n", 1)[0]

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """The arguments by name, in order; the kind of answer is not one of them."""
        hints = typing.get_type_hints(self.make, include_extras=True)
        found = list(inspect.signature(self.make).parameters.values())[1:]
        return {p.name: Parameter(p.name, hints[p.name], p.default) for p in found}

    @property
    def signature(self) -> str:
        """The call with its defaults, such as `beam_search(width=4, branch=4)`."""
        return f"{self.name}({', '.join(str(p) for p in self.parameters.values())})"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Assembled:
        """Choose this with these arguments.

        Raises:
            InvalidInput: for an unknown, missing or unfit argument; said before anything runs.
        """
        return self.choose(args, kwargs)

    def choose(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Assembled:
        """The same call, for readers that have the arguments as values."""
        known = self.parameters
        if len(args) > len(known):
            raise InvalidInput(f"{self.signature} got {len(args)} arguments; it takes {len(known)}")
        given = dict(zip(known, args, strict=False))
        for name, value in kwargs.items():
            if name not in known:
                raise InvalidInput(f"{self.name} has no argument {name!r}{nearest(name, known)}")
            if name in given:
                raise InvalidInput(f"the argument {name} of {self.name} was given twice")
            given[name] = value
        missing = [p.name for p in known.values() if p.required and p.name not in given]
        if missing:
            raise InvalidInput(f"{self.signature} needs its argument {missing[0]}")
        fitted = {
            n: fit(given[n], known[n].hint, f"{n} of {self.name}") for n in known if n in given
        }
        chosen = tuple((n, v) for n, v in fitted.items() if not _same(v, known[n].default))
        made = Assembled(self, chosen)
        made.check()
        return made


@dataclass(frozen=True)
class Assembled:
    """A chosen factory with its arguments: runs, compares, and prints as the call that made it.

    A strategy is called with a task and a seed, a scorer with a task and the artifacts; what was left
    open is filled by the kind of answer of the task.
    """

    factory: Factory[...]
    arguments: tuple[tuple[str, Any], ...] = ()
    """Only those that differ from their defaults, in the order of the factory."""
    functions: Mapping[str, Callable[..., Any]] = field(
        default_factory=lambda: MappingProxyType({}), compare=False
    )
    """The caller's own functions that it calls by name; they are not part of what is printed."""

    @property
    def family(self) -> Family:
        """`strategy`, `scorer` or `process`."""
        return self.factory.family

    @property
    def name(self) -> str:
        """The factory's name."""
        return self.factory.name

    def argument(self, name: str) -> Any:
        """The value of an argument, chosen or default; `None` where the factory has no such argument."""
        known = self.factory.parameters.get(name)
        return dict(self.arguments).get(name, known.default if known else None)

    def for_kind(self, kind: str) -> Any:
        """The strategy, scorer or process itself, for one kind of answer."""
        values = {
            p.name: _built(self.argument(p.name), kind) for p in self.factory.parameters.values()
        }
        return self.factory.make(kind, **values)

    def parts(self) -> Iterator[Assembled]:
        """This and everything inside it."""
        yield self
        for _, value in self.arguments:
            for part in cast(tuple[Any, ...], value) if isinstance(value, tuple) else (value,):
                if isinstance(part, Assembled):
                    yield from part.parts()

    def with_argument(self, name: str, value: Any) -> Assembled:
        """The same with one argument changed; checked like any other."""
        return self.factory.choose((), {**dict(self.arguments), name: value})

    def check(self) -> None:
        """Build it once for every kind, so that an unfit argument is refused now.

        Raises:
            InvalidInput: in one sentence.
        """
        try:
            self.for_kind("text")
            self.for_kind("math")
        except (ValueError, TypeError) as error:
            raise InvalidInput(f"{self}: {error}") from error

    async def __call__(self, task: Any, subject: Any) -> Any:
        """Run it: a strategy on a seed, a scorer on artifacts."""
        return await self.for_kind(task.kind)(task, subject)

    def __str__(self) -> str:
        positional = {p.name for p in self.factory.parameters.values() if p.required}
        parts = [printed(v) if n in positional else f"{n}={printed(v)}" for n, v in self.arguments]
        return f"{self.name}({', '.join(parts)})"

    __repr__ = __str__


def strategy(make: Callable[Concatenate[str, P], Any]) -> Factory[P]:
    """A factory of strategies."""
    return Factory("strategy", make)


def scorer(make: Callable[Concatenate[str, P], Any]) -> Factory[P]:
    """A factory of scorers."""
    return Factory("scorer", make)


def process(make: Callable[Concatenate[str, P], Any]) -> Factory[P]:
    """A factory of processes."""
    return Factory("process", make)


def schedule(make: Callable[Concatenate[str, P], Any]) -> Factory[P]:
    """A factory of schedules."""
    return Factory("schedule", make)


def model(make: Callable[Concatenate[str, P], Any]) -> Factory[P]:
    """A factory of engines."""
    return Factory("model", make)


def task(make: Callable[Concatenate[str, P], Any]) -> Factory[P]:
    """A factory of benchmark tasks."""
    return Factory("task", make)


def scores_steps(parameter: Parameter) -> bool:
    """Whether an argument takes a scorer of partial answers."""
    hints = [getattr(hint, "__metadata__", ()) for hint in _options(parameter.hint)]
    return any("steps" in said for said in hints)


def _built(value: Any, kind: str) -> Any:
    if isinstance(value, tuple):
        return tuple(_built(one, kind) for one in cast(tuple[Any, ...], value))
    return value.for_kind(kind) if isinstance(value, Assembled) else value


def _same(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


# -------------------------------------------------------------------------- values and types


def printed(value: Any) -> str:
    r"""A value as a spec writes it.

    >>> printed(("a\n", True, 1.5, None))
    '("a\\n", True, 1.5, None)'
    """
    if isinstance(value, str):
        text = repr(value)
        return text if '"' in text else f'"{text[1:-1]}"'
    if isinstance(value, tuple):
        items = cast(tuple[Any, ...], value)
        inside = ", ".join(printed(v) for v in items)
        return f"({inside},)" if len(items) == 1 else f"({inside})"
    return repr(value)


def fit(value: Any, hint: Any, where: str) -> Any:
    """The value as the annotation wants it; lists become tuples and whole numbers floats.

    Raises:
        InvalidInput: where it does not fit.
    """
    options = _options(hint)
    for option in options:
        fitted = _fit_one(value, option)
        if fitted is not _UNFIT:
            return fitted
    wanted = " or ".join(dict.fromkeys(_described(o) for o in options))
    raise InvalidInput(f"{where} must be {wanted}, not {_short(value)}")


_UNFIT: Any = object()


def _options(hint: Any) -> tuple[Any, ...]:
    if typing.get_origin(hint) in (Union, types.UnionType):
        return tuple(o for arg in typing.get_args(hint) for o in _options(arg))
    return (hint,)


def _fit_one(value: Any, hint: Any) -> Any:
    origin = typing.get_origin(hint)
    if hint in (None, type(None)):
        return None if value is None else _UNFIT
    if origin is Annotated:
        return _fit_part(value, hint.__metadata__[0])
    if origin is Literal:
        return value if value in typing.get_args(hint) else _UNFIT
    if origin is tuple:
        return _fit_tuple(value, typing.get_args(hint)[0])
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if abs(value) < 1e300 and math.isfinite(value) else _UNFIT
    return value if type(value) is hint else _UNFIT


def _fit_part(value: Any, family: str) -> Any:
    if isinstance(value, Assembled):
        return value if value.family == family else _UNFIT
    if isinstance(value, Factory):  # a bare name: `scorer=prm`
        return value.choose((), {}) if value.family == family else _UNFIT
    if value is None or isinstance(value, str | int | float | tuple | list):
        return _UNFIT
    return value  # an object of the caller's own; it runs, but does not print as a spec


def _fit_tuple(value: Any, hint: Any) -> Any:
    if not isinstance(value, tuple | list):
        return _UNFIT
    fitted = tuple(_fit_one(item, hint) for item in cast(tuple[Any, ...], value))
    return _UNFIT if any(item is _UNFIT for item in fitted) else fitted


def _described(hint: Any) -> str:
    if hint in (None, type(None)):
        return "None"
    origin = typing.get_origin(hint)
    if origin is Annotated:
        return f"a {hint.__metadata__[0]}"
    if origin is Literal:
        return " or ".join(printed(o) for o in typing.get_args(hint))
    if origin is tuple:
        return f"a list, each item {_described(typing.get_args(hint)[0])}"
    names: dict[Any, str] = {
        int: "a whole number",
        float: "a number",
        str: "a string",
        bool: "True or False",
    }
    return names.get(hint, str(hint))


def _short(value: Any) -> str:
    if isinstance(value, Assembled):
        return f"the {value.family} {value}"
    if isinstance(value, Factory):
        return f"the {value.family} {value.name}()"
    text = printed(value)
    return text if len(text) <= 40 else text[:37] + "..."
