"""From a row of data to a question, as the task file says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from string import Template
from typing import Any, Final, cast

from cogitate.core.errors import InvalidInput
from cogitate.core.task import Task
from cogitate.rules.canonical import canonical
from cogitate.rules.extraction import extract

from .definition import Definition
from .files import Row, rows_of
from .item import Item

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LISTED: Final = re.compile(r"(?m)^[ \t]*\(?([A-Z])[).:][ \t]*\S")
_LEADING: Final = re.compile(r"\s*\(?([A-Za-z])(?:[).:].*|\s*)", re.DOTALL)
_READABLE: Final = ("number", "choice", "json")
"""Kinds whose references must have a canonical form; of others, an engine may know more."""


def items_of(made: Definition, file: Path, ids: frozenset[str] | None = None) -> Iterator[Item]:
    """The questions of a file, one at a time.

    Raises:
        InvalidInput: for a row that is not as the task file says, by file, line and field.
    """
    seen: set[int] = set()
    asked = 0
    stop = made.data.stop or None
    numbered = islice(enumerate(rows_of(file, made.data.format)), made.data.start, stop)
    for number, (where, row) in numbered:
        if where.rpartition(", ")[2] in made.data.skip or not _counts(row, made.data.where):
            continue
        reader = RowReader(made, where, row)
        key = reader.text(made.fields.id) if made.fields.id else str(number)
        if ids is not None and key not in ids:
            continue
        if made.fields.id:
            if hash(key) in seen:
                raise reader.wrong(made.fields.id, f"the id {key[:80]!r} is there twice")
            seen.add(hash(key))
        asked += 1
        yield reader.item(key)
    if not asked:
        raise InvalidInput(f"{file.name}: questions were asked for, but the file holds none")


def _counts(row: Row, where: Mapping[str, Any]) -> bool:
    return all(row.get(name) == value for name, value in where.items())


@dataclass(frozen=True, slots=True)
class RowReader:
    """One row, read as a definition says."""

    made: Definition
    where: str
    row: Row

    def item(self, key: str) -> Item:
        """The question of this row."""
        named = self.made.fields
        labels, shown = self.options()
        question = self.question()
        if named.options_in_question:
            labels = tuple(dict.fromkeys(_LISTED.findall(question)))
            if len(labels) < 2:
                raise self.wrong(
                    named.question, "options such as (A) … were expected in it, each on a line"
                )
        meta = self.kept()
        golds: tuple[str, ...] = ()
        if self.made.grader == "tests":
            meta |= self.tests()
        elif self.made.grader == "expression":
            meta |= self.puzzle()
        else:
            golds = self.golds(labels, shown)
            if golds[1:]:
                meta["also_right"] = list(golds[1:])
        listed = "\n".join(f"{label}. {text}" for label, text in zip(labels, shown, strict=False))
        task = Task.of(
            f"{question}\n\n{listed}" if listed else question,
            kind=self.made.kind,
            context=self.context(),
            options=labels,
        )
        try:
            f"{task.question}{task.context}{golds}".encode()
        except UnicodeEncodeError:
            raise self.wrong(named.question, "holds half of a character") from None
        return Item(key, task, golds[0] if golds else None, meta)

    def question(self) -> str:
        """What is asked, in the words of the task's prompt."""
        known = {
            name: _as_text(value) or "" for name, value in self.row.items() if name.isidentifier()
        }
        if self.made.fields.question in self.row:
            known["question"] = asked = self.text(self.made.fields.question)
        elif not self.made.prompt:
            raise self.wrong(self.made.fields.question, "is missing")
        else:
            asked = ""
        if not self.made.prompt:
            return asked
        try:
            return Template(self.made.prompt).substitute(known).strip()
        except (KeyError, ValueError) as problem:
            raise InvalidInput(
                f"{self.where}: the prompt of the task {self.made.name} cannot be filled: {problem}"
            ) from None

    def options(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Labels and texts; no texts where the question shows them itself."""
        named = self.made.fields
        if named.labels:
            return named.labels, ()
        if isinstance(named.options, tuple):
            return named.options, tuple(self.text(name).strip() for name in named.options)
        held = self.row.get(named.options)
        if isinstance(held, str) and held[:1] in "[{":
            held = _json_or_none(held)
        if isinstance(held, dict):
            pairs = [(str(k), _as_text(v)) for k, v in cast("dict[str, Any]", held).items()]
        elif isinstance(held, list):
            pairs = list(zip(_LETTERS, map(_as_text, cast("list[Any]", held)), strict=False))
        else:
            raise self.wrong(named.options, "options by label, or a list of them, were expected")
        if len(pairs) < 2 or not all(text and text.strip() for _, text in pairs):
            raise self.wrong(named.options, "at least two options that are not empty were expected")
        return tuple(label for label, _ in pairs), tuple(str(text).strip() for _, text in pairs)

    def golds(self, labels: tuple[str, ...], shown: tuple[str, ...]) -> tuple[str, ...]:
        """The reference answers, the first of them first."""
        name = self.made.fields.answer
        held = self.row.get(name)
        several = cast("list[Any]", held) if isinstance(held, list) else [held]
        if self.made.kind == "json" and not isinstance(held, str):
            several = [None if held is None else json.dumps(held)]
        found = [self._gold(_as_text(one), one, labels, shown) for one in several]
        if not found:
            raise self.wrong(name, "there is no answer")
        return tuple(found)

    def _gold(
        self, said: str | None, raw: Any, labels: tuple[str, ...], shown: tuple[str, ...]
    ) -> str:
        named = self.made.fields
        if said is not None and named.boxed:
            said = extract(said, "math")
        if said is not None and named.after:
            said = said.rpartition(named.after)[2]
        if said is None or not said.strip():
            raise self.wrong(named.answer, "there is no answer")
        said = said.strip()
        if self.made.kind == "choice":
            said = self._label(said, raw, labels, shown)
        if self.made.kind in _READABLE and canonical(said, self.made.kind) is None:
            raise self.wrong(named.answer, f"{said[:80]!r} cannot be read as a {self.made.kind}")
        return said

    def _label(self, said: str, raw: Any, labels: tuple[str, ...], shown: tuple[str, ...]) -> str:
        """The label that an answer means: by itself, by its place from 0, or by its text."""
        if isinstance(raw, int) and said not in labels and 0 <= raw < len(labels):
            return labels[raw]
        by_name = {label.casefold(): label for label in labels}
        if said.casefold() in by_name:
            return by_name[said.casefold()]
        if said in shown:
            return labels[shown.index(said)]
        letter = _LEADING.fullmatch(said)
        if letter is not None and letter[1].casefold() in by_name:
            return by_name[letter[1].casefold()]
        raise self.wrong(
            self.made.fields.answer, f"{said[:80]!r} is none of the options {', '.join(labels)}"
        )

    def context(self) -> str:
        """The material: a text, texts, or titles with their sentences."""
        name = self.made.fields.context
        if not name:
            return ""
        held = self.row.get(name)
        if isinstance(held, dict):
            parts = cast("dict[str, Any]", held)
            titles, sentences = parts.get("title"), parts.get("sentences")
            if isinstance(titles, list) and isinstance(sentences, list):
                paired = zip(cast("list[Any]", titles), cast("list[Any]", sentences), strict=False)
                return "\n\n".join(f"{title}: {''.join(map(str, said))}" for title, said in paired)
        elif isinstance(held, list):
            return "\n\n".join(str(part) for part in cast("list[Any]", held))
        elif isinstance(held, str):
            return held
        raise self.wrong(name, "a text, a list of texts, or titles with sentences was expected")

    def tests(self) -> dict[str, Any]:
        """The tests of a program, for the grader."""
        named = self.made.fields
        held = self.row.get(named.tests)
        if isinstance(held, list):
            cases = [self._case(case) for case in cast("list[Any]", held)]
            if not cases:
                raise self.wrong(named.tests, "at least one case was expected")
            return {"cases": cases}
        function = self.text(named.function)
        if not function.isidentifier():
            raise self.wrong(named.function, f"{function[:80]!r} is no name of a function")
        tests = self.text(named.tests)
        if re.search(r"(?m)^def check\(", tests) and not re.search(r"(?m)^check\(", tests):
            tests += f"\n\ncheck({function})\n"
        beginning = self.text(named.beginning) if named.beginning else ""
        return {"function": function, "tests": tests, "beginning": beginning}

    def _case(self, case: Any) -> dict[str, str]:
        if isinstance(case, dict):
            held = cast("dict[str, Any]", case)
            given, wanted = held.get("input"), held.get("output")
            if isinstance(given, str) and isinstance(wanted, str):
                return {"input": given, "output": wanted}
        raise self.wrong(
            self.made.fields.tests, "cases of input and output, both text, were expected"
        )

    def puzzle(self) -> dict[str, Any]:
        """Numbers and target, for the grader."""
        named = self.made.fields
        held = self.row.get(named.numbers)
        listed = cast("list[Any]", held) if isinstance(held, list) else str(held or "").split()
        numbers = [int(n) for n in listed if str(n).isdecimal()]
        target = named.target
        if isinstance(target, str):
            said = _as_text(self.row.get(target)) or ""
            target = int(said) if said.strip().isdecimal() else -1
        if len(numbers) != len(listed) or len(numbers) < 2 or target < 0:
            raise self.wrong(named.numbers, "at least two whole numbers and a target were expected")
        return {"numbers": numbers, "target": target}

    def kept(self) -> dict[str, Any]:
        """The fields that travel with the question."""
        return {name: self.row[name] for name in self.made.fields.keep if name in self.row}

    def text(self, name: str) -> str:
        """A field that must be there and not be empty."""
        if name not in self.row:
            raise self.wrong(name, "is missing")
        said = _as_text(self.row[name])
        if said is None:
            raise self.wrong(name, "must be text or a number")
        if not said.strip():
            raise self.wrong(name, "is empty")
        return said

    def wrong(self, name: str | Sequence[str], what: str) -> InvalidInput:
        """The complaint, by file, line and field."""
        return InvalidInput(f"{self.where}: {name}: {what}")


def _as_text(held: Any) -> str | None:
    if isinstance(held, bool) or not isinstance(held, str | int | float):
        return None
    return str(held)


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
