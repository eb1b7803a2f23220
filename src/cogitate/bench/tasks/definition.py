"""Task files: what a task is, in TOML, beside its data or in the package."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final, cast, get_args, get_type_hints

from cogitate.assembly.factory import nearest
from cogitate.core.errors import InvalidInput
from cogitate.core.task import EMPTY, KINDS

from .files import FORMATS

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_WANTED: Final = (
    ("tuple", "a list of texts"),
    ("Mapping", "a table"),
    ("bool", "true or false"),
    ("str", "text"),
    ("int", "a whole number"),
)
_SHA: Final = re.compile(r"[0-9a-f]{64}|")


@dataclass(frozen=True, slots=True)
class Data:
    """`[data]`: where the rows lie, and which of them count."""

    file: str = ""
    """Relative to `COGITATE_DATA`, or to the task file where that is the user's own."""
    format: str = ""
    """`jsonl`, `json` or `csv`; by default what the file name tells."""
    sha256: str = ""
    """Of the unpacked content."""
    rows: int = 0
    """Questions that the task asks; 0 where they are to be counted."""
    where: Mapping[str, Any] = field(default_factory=lambda: EMPTY)
    """Field to value: only rows that have it."""
    start: int = 0
    """Only rows from this one on, counted from 0."""
    stop: int = 0
    """Only rows before this one; 0 for all."""
    skip: tuple[str, ...] = ()
    """Places of rows that are left out because they are broken, such as `row 7`."""
    ids: str = ""
    """A JSON file whose keys are the ids that count."""
    ids_sha256: str = ""


@dataclass(frozen=True, slots=True)
class Fields:
    """`[fields]`: how the data call what a task needs."""

    id: str = ""
    """By default the number of the row."""
    question: str = "question"
    answer: str = "answer"
    after: str = ""
    """Of the answer, only what stands behind the last of these, such as `####`."""
    boxed: bool = False
    """Of the answer, only what stands in its last box."""
    context: str = ""
    """Material: a text, a list of texts, or titles with sentences."""
    options: str | tuple[str, ...] = ()
    """A field that holds options by label or in order, or one field an option, named by its label."""
    labels: tuple[str, ...] = ()
    """The options of every question, where the data hold none."""
    options_in_question: bool = False
    """The labels are read from the question's text."""
    function: str = ""
    """Of code: the field that names the function under test."""
    tests: str = ""
    """Of code: the field that holds the tests of the function, or cases of input and output."""
    beginning: str = ""
    """Of code: the field with what an answer continues."""
    numbers: str = ""
    """Of puzzles with numbers: the field that holds them."""
    target: str | int = ""
    """What they are to make: a number, or the field that holds it."""
    keep: tuple[str, ...] = ()
    """Fields that travel with the question, such as its level."""


@dataclass(frozen=True, slots=True)
class Definition:
    """A task file, read and checked."""

    name: str
    kind: str
    title: str = ""
    licence: str = ""
    source: str = ""
    citation: str = ""
    note: str = ""
    metric: str = "accuracy"
    grader: str = "answer"
    preset: str = ""
    prompt: str = ""
    """What is asked, with `$field` for the fields of a row and `$question` for the question."""
    data: Data = field(default_factory=Data)
    fields: Fields = field(default_factory=Fields)
    base: Path | None = None
    """The folder that `data.file` is relative to; `None`: the user's folder of data."""


def read_definition(file: Path | Traversable, base: Path | None = None) -> Definition:
    """A task file.

    Raises:
        InvalidInput: by file, line and field, for what cannot be read or is not known.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InvalidInput(
            f"the task file {file.name} was asked for, but there is no such file"
        ) from None
    except (OSError, UnicodeDecodeError) as problem:
        raise InvalidInput(f"{file.name}: cannot be read ({problem})") from None
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as problem:
        raise InvalidInput(f"{file.name}: is not TOML: {problem}") from None
    made: Definition = _Table(file.name, text, "").read(raw, Definition, base=base)
    check_definition(made, file.name, text)
    return made


@dataclass(frozen=True, slots=True)
class _Table:
    """A table of a TOML file, read field by field."""

    file: str
    text: str
    table: str

    def read(self, raw: Mapping[str, Any], shape: Any, **known: Any) -> Any:
        hints = get_type_hints(shape)
        parts = {f.name: f for f in fields(shape) if f.name not in known}
        found = dict(known)
        for name, value in raw.items():
            if name not in parts:
                raise self.wrong(name, f"there is no such field{nearest(name, list(parts))}")
            found[name] = self.value(name, value, hints[name])
        for name, part in parts.items():
            if part.default is MISSING and part.default_factory is MISSING and name not in found:
                raise InvalidInput(f"{self.file}: the field {name} is missing")
        return shape(**found)

    def value(self, name: str, value: Any, hint: Any) -> Any:
        """A field's value as its type wants it."""
        match value:
            case dict() if hint in (Data, Fields):
                inner = _Table(self.file, self.text, name)
                return inner.read(cast("dict[str, Any]", value), hint)
            case dict() if "Mapping" in str(hint):
                return dict(cast("dict[str, Any]", value))
            case list() if "tuple" in str(hint):
                items = cast("list[Any]", value)
                if all(isinstance(item, str) for item in items):
                    return tuple(items)
            case bool() | int() | str() if type(value) in (hint, *get_args(hint)):
                return value
            case _:
                pass
        told = next((words for part, words in _WANTED if part in str(hint)), "a table")
        found = repr(cast(object, value))[:40]
        raise self.wrong(name, f"{told} was expected, not {found}")

    def wrong(self, name: str, what: str) -> InvalidInput:
        """The complaint, with the line on which the field stands."""
        said = f"{self.table}.{name}" if self.table else name
        line = f", line {self._line(name)}" if self.text else ""
        return InvalidInput(f"{self.file}{line}: {said}: {what}")

    def _line(self, name: str) -> int:
        inside = not self.table
        for number, line in enumerate(self.text.splitlines(), 1):
            if heading := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
                inside = heading[1] == self.table
                if not self.table and heading[1] == name:
                    return number
            elif inside and re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*[=.]", line):
                return number
        return 1


def check_definition(made: Definition, file: str, text: str = "") -> None:
    """Refuse what no task can be.

    Args:
        made: the definition.
        file: what it is called in complaints.
        text: of the file, for the line.

    Raises:
        InvalidInput: by file, line and field.
    """
    top = _Table(file, text, "")
    from cogitate.processes import PRESETS

    from .graders import GRADERS

    if not _NAME.fullmatch(made.name):
        raise top.wrong("name", "letters, digits, '-', '_' and '.' were expected, 64 at most")
    known = (("kind", KINDS), ("grader", GRADERS), ("preset", ("", *PRESETS)))
    for name, allowed in known:
        chosen = getattr(made, name)
        if chosen not in allowed:
            raise top.wrong(name, f"there is no {name} {chosen!r}{nearest(chosen, allowed)}")
    _check_data(made.data, _Table(top.file, top.text, "data"))
    _check_fields(made, _Table(top.file, top.text, "fields"))


def _check_data(data: Data, table: _Table) -> None:
    if not data.file:
        raise InvalidInput(f"{table.file}: data.file is missing: it says where the questions lie")
    if data.format not in ("", *FORMATS):
        raise table.wrong(
            "format", f"there is no format {data.format!r}{nearest(data.format, FORMATS)}"
        )
    for name in ("sha256", "ids_sha256"):
        if not _SHA.fullmatch(getattr(data, name)):
            raise table.wrong(name, "64 hexadecimal digits in small letters were expected")
    for name in ("rows", "start", "stop"):
        if getattr(data, name) < 0:
            raise table.wrong(name, "a number of at least 0 was expected")


def _check_fields(made: Definition, table: _Table) -> None:
    named = made.fields
    if made.grader == "tests" and not named.tests:
        raise InvalidInput(f"{table.file}: fields.tests is missing: what an answer must pass")
    if made.grader == "expression" and not (named.numbers and named.target):
        raise InvalidInput(f"{table.file}: fields.numbers and fields.target are missing")
    chooses = bool(named.options or named.labels or named.options_in_question)
    if chooses and made.kind != "choice":
        raise table.wrong("options", f"only a choice has options, and the kind is {made.kind}")
    if made.kind == "choice" and not chooses:
        raise InvalidInput(
            f"{table.file}: fields.options is missing: a choice needs options, labels or "
            "options_in_question"
        )
