"""Tasks of reasoning-gym, where it is installed, judged by its own scorers where these are safe."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cogitate.assembly.factory import nearest, task
from cogitate.assembly.spec import read
from cogitate.core.candidates import Artifact
from cogitate.core.errors import InvalidInput
from cogitate.core.task import KINDS, Task

from .benchmark import Benchmark
from .generated import Generated, benchmark
from .graders import said_in
from .item import ABSTAINED, Item, Verdict

PACKAGE: Final = "reasoning_gym"
LONGEST: Final = 4_000
"""Characters of an answer that a scorer is shown."""
_HUGE: Final = re.compile(r"\d[eE]\+?\d{4,}|\d\s*\*\*")
_EVALUATES: Final = frozenset(
    {"eval", "exec", "compile", "__import__", "parse_expr", "sympify", "open", "getattr", "globals"}
)
_PLAIN_MODULES: Final = frozenset(
    {*["abc", "array", "ast", "bisect", "calendar", "collections", "contextlib", "copy", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools", "hashlib", "heapq", "io", "itertools", "json", "logging", "math", "numpy", "operator", "queue", "random", "re", "statistics", "string", "struct", "textwrap", "time", "types", "typing", "unicodedata", "uuid", "warnings", "zoneinfo"],
     "__future__"}
)  # fmt: skip
"""What the module of a safe scorer may import besides modules of the package itself."""
_FRAME: Final = frozenset(
    {PACKAGE, *(f"{PACKAGE}.{name}" for name in ("factory", "dataset", "data", "coaching", "version"))}
)  # fmt: skip
"""Modules that every data set imports and no scorer hands an answer to."""


@dataclass(frozen=True)
class GymScorer:
    """Credit by the data set's own scorer; right at full credit. A pure function of the answer: it asks nothing."""

    data: Any
    name: str = "reasoning-gym"

    async def __call__(self, item: Item, artifacts: Sequence[Artifact]) -> tuple[Verdict, ...]:
        """One verdict an artifact."""
        entry = self.data[int(item.id)]
        return tuple(self._one(entry, artifact) for artifact in artifacts)

    def _one(self, entry: Mapping[str, Any], artifact: Artifact) -> Verdict:
        said = said_in(artifact)
        if said is None:
            return ABSTAINED
        if len(said) > LONGEST or _HUGE.search(said):
            return Verdict(False)
        try:
            credit = min(1.0, max(0.0, float(self.data.score_answer(said, entry))))
        except Exception:  # a scorer that stumbles over a strange answer says that it is wrong
            return Verdict(False)
        return Verdict(credit == 1.0, credit)


def from_gym(spec: str) -> Benchmark:
    """The task `gym:NAME(size=…, seed=…, kind=…)`.

    Raises:
        InvalidInput: where the package is not installed, has no such data set, or would run what a model wrote.
    """
    named = spec.partition("(")[0].strip()
    known = _data_sets()
    if named not in known:
        raise InvalidInput(f"reasoning-gym has no data set {named[:80]!r}{nearest(named, known)}")
    why = unsafe(known[named])
    if why:
        raise InvalidInput(
            f"gym:{named} cannot be graded safely: its own scorer may run what a model wrote ({why}); "
            "choose another data set"
        )

    def make(kind: str, size: int = 100, seed: int = 0, answers: str = "text") -> Generated:
        """Questions of a data set of reasoning-gym, graded by its own scorer."""
        if answers not in KINDS or answers in ("choice", "code"):
            raise InvalidInput(
                f"answers={answers!r} was asked for; give text, number, math or json"
            )
        if not 1 <= size <= 1_000_000:
            raise InvalidInput(f"size={size} was asked for; it lies between 1 and 1,000,000")
        data = _package().create_dataset(named, size=size, seed=seed)
        return Generated(
            answers,
            size,
            lambda: _items(data, answers, size),
            f"reasoning-gym: {named.replace('_', ' ')}",
            GymScorer(data),
            licence="Apache-2.0",
            source=f"reasoning-gym {_version()}, generated",
        )

    make.__name__ = named
    chosen = read(spec, "task", {named: task(make)})
    made = chosen.for_kind("text")
    return benchmark("gym:" + str(chosen).removesuffix("()"), made)


def _items(data: Any, kind: str, size: int) -> Iterator[Item]:
    told = "\n\nEnd with one last line of the form:\nAnswer: <answer>" if kind == "text" else ""
    for number in range(size):
        entry = data[number]
        answer = entry["answer"]
        yield Item(
            str(number),
            Task.of(f"{entry['question']}{told}", kind=kind),
            answer if isinstance(answer, str) else None,
        )


def _package() -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its parts, when they are first compiled
            return importlib.import_module(PACKAGE)
    except ImportError as error:
        raise InvalidInput(
            "a task of reasoning-gym was asked for; install cogitate[gym] to have it"
        ) from error


def _data_sets() -> dict[str, type]:
    _package()
    held: Mapping[str, tuple[type, type]] = importlib.import_module(f"{PACKAGE}.factory").DATASETS
    return {name: pair[0] for name, pair in held.items()}


def _version() -> str:
    from importlib.metadata import version

    return version("reasoning-gym")


def unsafe(data_set: type) -> str:
    """Why a data set's scorer is not to be shown what a model wrote; empty where it is safe.

    Safe is the package's own comparison of texts, and a scorer whose module, with all modules of the package that
    it imports, neither evaluates text nor imports what may.
    """
    frame: Any = importlib.import_module(f"{PACKAGE}.dataset").ProceduralDataset
    scored: Any = data_set
    if scored.score_answer is frame.score_answer:
        return ""
    seen: set[str] = set(_FRAME)
    waiting = [part.__module__ for part in data_set.__mro__ if part.__module__.startswith(PACKAGE)]
    while waiting:
        name = waiting.pop()
        if name in seen or name.startswith(f"{PACKAGE}.coaching"):
            continue
        seen.add(name)
        module = sys.modules.get(name) or importlib.import_module(name)
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            found = _used(node, module.__package__ or "")
            if isinstance(found, str):
                return f"{name.rpartition('.')[2]} uses {found}"
            waiting += found
    return ""


def _used(node: ast.AST, package: str) -> str | list[str]:
    """What a node uses that it must not, or the modules of the package that it imports."""
    match node:
        case ast.Name(id=name) if name in _EVALUATES:
            return name
        case ast.Attribute(attr=name) if name in _EVALUATES - {"compile", "open"}:
            return name
        case ast.Import(names=names):
            return next((a.name for a in names if not _plain(a.name)), list[str]())
        case ast.ImportFrom(module=module, names=names, level=level):
            base = importlib.util.resolve_name("." * level + (module or ""), package or PACKAGE)
            if not base.startswith(PACKAGE):
                return [] if _plain(base) else base
            return [base, *(f"{base}.{a.name}" for a in names if f"{base}.{a.name}" in sys.modules)]
        case _:
            return []


def _plain(name: str) -> bool:
    return name.partition(".")[0] in _PLAIN_MODULES
