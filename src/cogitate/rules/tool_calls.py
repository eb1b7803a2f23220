"""Tool calls as answers: one spelling for each, and votes on the tool before its arguments.

A call is `{"name": …, "arguments": {…}}`; the arguments may be JSON text, the object may stand under
`function`, and several calls may be a list or stand under `tool_calls`. What has another form has no
spelling and abstains.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, cast

from .canonical import canonical
from .canonical_words import LONGEST_TEXT
from .votes import majority


@dataclass(frozen=True, slots=True)
class CalledTools:
    """The spelling of one answer."""

    names: str
    """The tools in their order, as JSON."""
    whole: str
    """Tools and arguments, as JSON with sorted keys and exact numbers."""


def read_calls(answer: str, exclude: Collection[str] = ()) -> CalledTools | None:
    """The calls in an answer, without the excluded arguments; `None` where it is malformed.

    An excluded argument is a name that counts for every tool, or `tool.argument` for one tool.

    >>> found = read_calls('{"name": "find", "arguments": {"b": 1.0, "a": "x", "id": 7}}', ["id"])
    >>> found.names, found.whole
    ('["find"]', '[["find",{"a":"x","b":1}]]')
    >>> read_calls('[{"function": {"name": "f", "arguments": "{}"}}]') == read_calls('{"name": "f"}')
    True
    >>> read_calls('{"arguments": {}}') is None
    True
    """
    try:
        calls = [_call(one, exclude) for one in _listed(_loaded(answer))]
        names = _spelt([name for name, _ in calls])
        whole = _spelt([[name, arguments] for name, arguments in calls])
    except (ValueError, RecursionError):
        return None
    return CalledTools(names, whole) if calls else None


def spelt_calls(calls: Sequence[tuple[str, str]]) -> str | None:
    """Calls, each a tool's name and its arguments as JSON text, in the one spelling of their answer.

    `None` where there are none, or where one is malformed: such an answer abstains.

    >>> spelt_calls([("find", '{"b": 1.0, "a": "x"}')])
    '[{"arguments":{"a":"x","b":1},"name":"find"}]'
    >>> spelt_calls([("find", '{"b": ')]) is None
    True
    """
    try:
        read = [_call({"name": name, "arguments": arguments}, ()) for name, arguments in calls]
        spelt = _spelt([{"name": name, "arguments": arguments} for name, arguments in read])
    except (ValueError, RecursionError):
        return None
    return spelt if calls else None


def nested_values(outer: Sequence[int | None], inner: Sequence[int | None]) -> dict[int, float]:
    """A value for each inner class: first by the votes of its outer class, then by its own.

    It is (votes of the outer class + own votes / (n + 1)) / (n + 1) for n voters, in (0, 1), or the next number
    below the class before it, so that ties fall to the lower class number. Every inner class belongs to one
    outer class.

    >>> values = nested_values([0, 0, 1, 1, 1], [0, 0, 1, 2, 3])
    >>> max(values, key=values.get)
    1
    """
    size = len(outer) + 1
    within: dict[int, list[int | None]] = {}
    for group, own in zip(outer, inner, strict=True):
        if group is not None:
            within.setdefault(group, []).append(own)
    values: dict[int, float] = {}
    above = math.inf
    for group in majority(outer).standing:
        for own in majority(within[group.label]).standing:
            raw = (group.votes + own.votes / size) / size
            above = min(raw, math.nextafter(above, -math.inf))
            values[own.label] = above
    return values


class _Number(str):
    """A number as it was written, so that none is rounded."""

    __slots__ = ()


def _loaded(text: str) -> Any:
    if len(text) > LONGEST_TEXT:
        raise ValueError("too long")
    return json.loads(
        text, parse_float=_Number, parse_int=_Number, parse_constant=_refused,
        object_pairs_hook=_unique,
    )  # fmt: skip


def _refused(text: str) -> Any:
    raise ValueError(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key twice")
    return dict(pairs)


def _listed(raw: Any) -> list[Any]:
    if isinstance(raw, dict) and "tool_calls" in raw:
        raw = cast(dict[str, Any], raw)["tool_calls"]
    return cast(list[Any], raw) if isinstance(raw, list) else [raw]


def _call(raw: Any, exclude: Collection[str]) -> tuple[str, dict[str, Any]]:
    """The name and the arguments that count.

    Raises:
        ValueError: where it is no call.
    """
    if isinstance(raw, dict) and "function" in raw:
        raw = cast(dict[str, Any], raw)["function"]
    call = cast(dict[str, Any], raw) if isinstance(raw, dict) else {}
    name: Any = call.get("name")
    arguments: Any = call.get("arguments")
    if isinstance(arguments, str) and not isinstance(arguments, _Number):
        arguments = _loaded(arguments) if arguments.strip() else None
    if not isinstance(name, str) or isinstance(name, _Number) or not name.strip():
        raise ValueError("no name")
    if not isinstance(arguments, dict | None):
        raise ValueError("no arguments")
    kept = cast(dict[str, Any], arguments or {})
    name = name.strip()
    return name, {
        k: v for k, v in kept.items() if k not in exclude and f"{name}.{k}" not in exclude
    }


def _spelt(raw: list[Any]) -> str:
    found = canonical(_written(raw), "json")
    if found is None:
        raise ValueError("no exact form")
    return found


def _written(raw: Any) -> str:
    if isinstance(raw, dict):
        members = cast(dict[str, Any], raw).items()
        return "{" + ",".join(f"{json.dumps(k)}:{_written(v)}" for k, v in members) + "}"
    if isinstance(raw, list):
        return "[" + ",".join(_written(v) for v in cast(list[Any], raw)) + "]"
    return str(raw) if isinstance(raw, _Number) else json.dumps(raw)
