"""Task files: what a task is, in TOML, beside its data or in the package."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from importlib.resources.abc import Traversable
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, cast, get_type_hints

from cogitate.assembly.factory import nearest
from cogitate.core.errors import InvalidInput
from cogitate.core.task import EMPTY, KINDS

from .files import FORMATS

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_SHA: Final = re.compile(r"[0-9a-f]{64}|")
_NOTHING: Final = MappingProxyType({})


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
    _check(made, _Table(file.name, text, ""))
    return made


@dataclass(frozen=True, slots=True)
class _Table:
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
        if hint in (Data, Fields):
            if not isinstance(value, dict):
                raise self.wrong(name, f"a table [{name}] was expected")
            return _Table(self.file, self.text, name).read(cast("dict[str, Any]", value), hint)
        if isinstance(value, list) and "tuple" in str(hint):
            items = cast("list[Any]", value)
            if not all(isinstance(item, str) for item in items):
                raise self.wrong(name, "a list of texts was expected")
            return tuple(items)
        if isinstance(value, dict) and "Mapping" in str(hint):
            return MappingProxyType(dict(cast("dict[str, Any]", value)))
        for wanted, told in ((bool, "true or false"), (int, "a whole number"), (str, "text")):
            if hint is wanted and type(value) is not wanted:
                raise self.wrong(name, f"{told} was expected, not {str(value)[:40]!r}")
        if not isinstance(value, bool | int | str) or (
            hint is not bool and isinstance(value, bool)
        ):
            raise self.wrong(name, f"{str(value)[:40]!r} does not fit here")
        return value

    def wrong(self, name: str, what: str) -> InvalidInput:
        """The complaint, with the line on which the field stands."""
        inside = not self.table
        for number, line in enumerate(self.text.splitlines(), 1):
            if heading := re.match(r"\s*\[\s*([\w.-]+)\s*\]", line):
                inside = heading[1] == self.table
                if not self.table and heading[1] == name:
                    break
            elif inside and re.match(rf"\s*[\"']?{re.escape(name)}[\"']?\s*[=.]", line):
                break
        else:
            number = 1
        said = f"{self.table}.{name}" if self.table else name
        return InvalidInput(f"{self.file}, line {number}: {said}: {what}")


def _check(made: Definition, top: _Table) -> None:
    from .graders import GRADERS

    data, named = _Table(top.file, top.text, "data"), _Table(top.file, top.text, "fields")
    if not _NAME.fullmatch(made.name):
        raise top.wrong("name", "letters, digits, '-', '_' and '.' were expected, 64 at most")
    if made.kind not in KINDS:
        raise top.wrong("kind", f"there is no answer kind {made.kind!r}{nearest(made.kind, KINDS)}")
    if made.grader not in GRADERS:
        raise top.wrong(
            "grader", f"there is no grader {made.grader!r}{nearest(made.grader, GRADERS)}"
        )
    if not made.data.file:
        raise InvalidInput(f"{top.file}: data.file is missing: it says where the questions lie")
    if made.data.format and made.data.format not in FORMATS:
        raise data.wrong(
            "format", f"there is no format {made.data.format!r}{nearest(made.data.format, FORMATS)}"
        )
    for name in ("sha256", "ids_sha256"):
        if not _SHA.fullmatch(getattr(made.data, name)):
            raise data.wrong(name, "64 hexadecimal digits in small letters were expected")
    if made.data.rows < 0:
        raise data.wrong("rows", "a number of at least 1 was expected")
    if made.grader == "tests" and not made.fields.tests:
        raise InvalidInput(
            f"{top.file}: fields.tests is missing: the tests that an answer must pass"
        )
    if made.grader == "expression" and not (made.fields.numbers and made.fields.target):
        raise InvalidInput(f"{top.file}: fields.numbers and fields.target are missing")
    chooses = made.fields.options or made.fields.labels or made.fields.options_in_question
    if chooses and made.kind != "choice":
        raise named.wrong("options", f"only a choice has options, and the kind is {made.kind}")
    if made.kind == "choice" and not chooses:
        raise InvalidInput(
            f"{top.file}: fields.options is missing: a choice needs options, labels or options_in_question"
        )
    if made.preset:
        from cogitate.processes import PRESETS

        if made.preset not in PRESETS:
            raise top.wrong(
                "preset", f"there is no preset {made.preset!r}{nearest(made.preset, PRESETS)}"
            )
