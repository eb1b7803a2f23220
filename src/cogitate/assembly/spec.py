"""The restricted reader of strategy specs: calls of known factories with literal arguments.

The text is parsed, never run: only calls by a bare name, keywords, numbers, strings, booleans, None,
lists and tuples pass.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cogitate.core.errors import InvalidInput

from .factory import Assembled, Factory, Family, nearest

MAX_LENGTH = 4096
"""Characters of a spec."""
MAX_DEPTH = 16
"""Calls and lists inside one another."""
MAX_NUMBER = 2**53
"""The largest whole number; beyond it JSON loses digits."""


class SpecError(InvalidInput):
    """A spec cannot be read; the message names the position and what to write instead."""


def read(
    text: str, family: Family = "strategy", table: Mapping[str, Factory[...]] | None = None
) -> Assembled:
    """What a spec says.

    >>> read("beam_search(width = 2, scorer=prm)")
    beam_search(width=2, scorer=prm())

    Args:
        text: such as `best_of(n=4, scorer=judge())`; a bare name is a call without arguments.
        family: what is wanted.
        table: the names that may be used; by default all of this package.

    Raises:
        SpecError: in one sentence.
    """
    if table is None:
        from .names import TABLE

        table = TABLE
    source = text.strip().replace("\r\n", "\n").replace("\r", "\n")
    what = f"a {family} spec"
    if not source:
        known = [n for n, f in table.items() if f.family == family]
        raise SpecError(
            f"{what} is empty; write one such as {known[0]}()" if known else f"{what} is empty"
        )
    if len(source) > MAX_LENGTH:
        raise SpecError(f"{what} may have {MAX_LENGTH} characters, not {len(source)}")
    value = _Reader(source, table).value(_parsed(source, what), 1)
    if isinstance(value, Factory):
        try:
            value = value.choose((), {})
        except InvalidInput as error:
            raise SpecError(f"at character 1 of the spec: {error}") from None
    if not isinstance(value, Assembled):
        raise SpecError(f"{what} is a call such as best_of(n=4), not {source[:40]!r}")
    if value.family != family:
        known = [n for n, f in table.items() if f.family == family]
        raise SpecError(
            f"{value.name} is a {value.family}; a {family} is wanted, such as {known[0]}()"
        )
    return value


def _parsed(source: str, what: str) -> ast.expr:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # an invalid escape is a mistake here, not a warning
            return ast.parse(source, mode="eval").body
    except SyntaxError as error:
        at = f" at character {error.offset}" if error.offset else ""
        raise SpecError(f"{what} cannot be read{at}: {_reason(error)}") from None
    except (ValueError, RecursionError, MemoryError):
        raise SpecError(
            f"{what} cannot be read: it is nested too deep or holds a forbidden character"
        ) from None
    except Warning as warning:
        raise SpecError(f"{what} cannot be read: {str(warning).splitlines()[0]}") from None


def _reason(error: SyntaxError) -> str:
    return (error.msg or "it is not a call").split("\n", 1)[0].rstrip(".")


@dataclass(frozen=True)
class _Reader:
    source: str
    table: Mapping[str, Factory[...]]

    def value(self, node: ast.expr, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise self.error(node, f"it is nested deeper than {MAX_DEPTH}")
        match node:
            case ast.Call():
                return self.call(node, depth)
            case ast.Name():
                return self.factory(node)
            case ast.Constant(value=bool() | str() | None):
                return node.value
            case ast.Constant(value=int() | float() as held):
                return self.number(node, held)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as held)):
                if isinstance(held, bool):
                    raise self.error(node, "a truth value has no sign")
                return self.number(node, -held)
            case ast.List() | ast.Tuple():
                return tuple(self.value(item, depth + 1) for item in node.elts)
            case _:
                raise self.error(
                    node,
                    "only calls of known names, numbers, strings, True, False, None and lists may stand here",
                )

    def number(self, node: ast.expr, held: float) -> float:
        if not math.isfinite(held) if isinstance(held, float) else abs(held) > MAX_NUMBER:
            raise self.error(node, "the number is too large")
        return held

    def factory(self, node: ast.Name) -> Factory[...]:
        found = self.table.get(node.id)
        if found is None:
            raise self.error(node, f"there is no {node.id!r}{nearest(node.id, self.table)}")
        return found

    def call(self, node: ast.Call, depth: int) -> Assembled:
        if not isinstance(node.func, ast.Name):
            raise self.error(node, "only a name of the table can be called")
        factory = self.factory(node.func)
        keywords: dict[str, Any] = {}
        for keyword in node.keywords:
            if keyword.arg is None:
                raise self.error(keyword.value, "** cannot be used here")
            if keyword.arg not in factory.parameters:
                hint = nearest(keyword.arg, factory.parameters)
                raise self.error(keyword, f"{factory.name} has no argument {keyword.arg!r}{hint}")
            if keyword.arg in keywords:
                raise self.error(keyword, f"the argument {keyword.arg} was given twice")
            keywords[keyword.arg] = self.value(keyword.value, depth + 1)
        values = tuple(self.value(argument, depth + 1) for argument in node.args)
        try:
            return factory.choose(values, keywords)
        except SpecError:
            raise
        except InvalidInput as error:
            raise self.error(node, str(error)) from None

    def error(self, node: ast.expr | ast.keyword, what: str) -> SpecError:
        line = self.source.split("\n")[node.lineno - 1]
        column = len(line.encode()[: node.col_offset].decode(errors="ignore"))
        before = sum(len(row) + 1 for row in self.source.split("\n")[: node.lineno - 1])
        return SpecError(f"at character {before + column + 1} of the spec: {what}")
