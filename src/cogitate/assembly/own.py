"""The caller's own verifier and own model, as parts like any other."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from cogitate.core.candidates import Artifact, Score, Unscored
from cogitate.core.errors import Failed, InvalidInput, OutOfBudget
from cogitate.core.flow import gather
from cogitate.core.protocols import Engine
from cogitate.core.requests import Call
from cogitate.core.task import Task

from . import factory
from .factory import Assembled

Function = Callable[..., Any]


@dataclass(frozen=True)
class FunctionScorer:
    """Scores by a function of the caller's, asked for by name.

    The function gets the question and the answer, or the whole text where there is no extracted
    answer, and returns a number; it may block. A call that fails, or returns no number, leaves its
    candidate unscored.
    """

    name: str

    async def __call__(self, task: Task, states: Sequence[Artifact]) -> Sequence[Score | Unscored]:
        async def judged(state: Artifact) -> Score | Unscored:
            shown = state.text if state.answer is None else state.answer
            try:
                return self._score(await Call(self.name, (task.question, shown)))
            except (Failed, OutOfBudget) as error:
                return Unscored.because(error)

        return await gather(*(judged(state) for state in states))

    def _score(self, value: Any) -> Score | Unscored:
        if isinstance(value, int | float) and math.isfinite(value):
            return Score(float(value))
        return Unscored(
            f"the function {self.name} returned {str(value)[:40]!r}; a number is wanted", "form"
        )


@factory.scorer
def function(kind: str, name: str) -> FunctionScorer:
    """A function of the caller's, by name; Python callers write `cogitate.scorer(function)`."""
    _check_name(name)
    return FunctionScorer(name)


def scorer(score: Function, *, name: str = "") -> Assembled:
    """Use your own verifier wherever a scorer is taken.

    >>> scorer(len, name="length")
    function("length")

    Args:
        score: gets the question and an answer, returns a number; higher is better. It may block.
        name: how it is called in specs and journals; by default the function's own name.

    Raises:
        InvalidInput: where it is not callable or has no usable name.
    """
    if not callable(score):
        raise InvalidInput(f"a scorer is made of a function, not of {type(score).__name__}")
    chosen = function(name or _name(score))
    return Assembled(
        chosen.factory, chosen.arguments, MappingProxyType({str(chosen.argument("name")): score})
    )


@dataclass(frozen=True)
class OwnModel:
    """A function of the caller's that writes text; opened as an engine for each run."""

    name: str
    function: Function = field(repr=False)
    takes: Literal["text", "messages"] = "text"
    usd_per_call: float | None = None
    threads: int = 8

    def __str__(self) -> str:
        return f"function:{self.name}"

    def open(self) -> Engine:
        """A fresh engine."""
        from cogitate.engines.functions import FunctionModel

        return FunctionModel(
            self.function,
            name=self.name,
            takes=self.takes,
            threads=self.threads,
            usd_per_call=self.usd_per_call,
        )


def model(
    write: Function,
    *,
    name: str = "",
    takes: Literal["text", "messages"] = "text",
    usd_per_call: float | None = None,
    threads: int = 8,
) -> OwnModel:
    """Use your own model wherever a model is taken.

    >>> print(model(lambda prompt: "42", name="oracle"))
    function:oracle

    Args:
        write: gets the prompt and returns text; it may block or be `async`. Of `seed`, `temperature`,
            `max_tokens` and `stop` it gets those that its signature names.
        name: stands in results and journals; by default the function's own name.
        takes: `text`, or `messages` for a list of `{"role": …, "content": …}`.
        usd_per_call: what a call costs; `None` where that is unknown.
        threads: calls at once.

    Raises:
        InvalidInput: where it is not callable or has no usable name.
    """
    if not callable(write):
        raise InvalidInput(f"a model is made of a function, not of {type(write).__name__}")
    chosen = name or _name(write)
    _check_name(chosen)
    return OwnModel(chosen, write, takes, usd_per_call, threads)


def functions_of(chosen: Iterable[Any]) -> dict[str, Function]:
    """The callers' functions that these parts ask for by name.

    Raises:
        InvalidInput: where two functions share a name, or one was named but not given.
    """
    found: dict[str, Function] = {}
    named: set[str] = set()
    for part in chosen:
        for inner in part.parts() if isinstance(part, Assembled) else ():
            if inner.factory is function:
                named.add(str(inner.argument("name")))
            for name, held in inner.functions.items():
                if found.setdefault(name, held) is not held:
                    raise InvalidInput(f"two functions are named {name!r}; give one another name=")
    return _complete(found, named)


def _complete(found: dict[str, Function], named: set[str]) -> dict[str, Function]:
    for name in sorted(named - set(found)):
        raise InvalidInput(
            f'the scorer function("{name}") names a function that is not here; from Python, pass '
            "scorer=cogitate.scorer(your_function)"
        )
    return found


def given(chosen: Assembled, functions: Mapping[str, Function]) -> Assembled:
    """The same with these functions supplied to the parts that name them; for specs read from text."""
    arguments = tuple(
        (name, given(value, functions) if isinstance(value, Assembled) else value)
        for name, value in chosen.arguments
    )
    held = chosen.functions
    if chosen.factory is function and not held:
        name = str(chosen.argument("name"))
        held = MappingProxyType({name: functions[name]} if name in functions else {})
    return replace(chosen, arguments=arguments, functions=held)


def _name(own: Function) -> str:
    known = str(getattr(own, "__name__", type(own).__name__))
    return known if known.isidentifier() else "own_function"


def _check_name(name: str) -> None:
    if not name or len(name) > 64 or not name.isprintable():
        raise InvalidInput(f"a function's name is 1 to 64 printable characters, not {name[:80]!r}")
