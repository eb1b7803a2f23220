"""Values to JSON and back, driven by their types; the round trip is exact.

Replies journaled as plain JSON come back with lists for tuples, and the next request's digest
differs. So every type that is journaled is decoded by its type.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union, cast

from .prompt import Prompt

Decoder = Callable[[Any], Any]


Encoder = Callable[[Any], Any]

_SCALARS = frozenset({str, int, float, bool, type(None)})


def encode(value: Any) -> Any:
    """Plain JSON values for any value made of frozen dataclasses, tuples, mappings and scalars.

    Fields at their default are left out. A `Prompt` becomes its digest: journals store its parts apart.

    Raises:
        TypeError: for a value that has no JSON form.
    """
    kind = cast("type[Any]", type(value))
    return (_ENCODERS.get(kind) or _encoder(kind))(value)


def _encoder(kind: type[Any]) -> Encoder:
    """How values of this type are encoded; found once a type, because this is the hot path of a journal."""
    if issubclass(kind, str | int | float):
        made: Encoder = _same
    elif issubclass(kind, tuple | list):
        made = _encode_items
    elif kind is Prompt:
        made = _encode_prompt
    elif issubclass(kind, Mapping):
        made = _encode_mapping
    elif dataclasses.is_dataclass(kind):
        made = _encode_record(kind)
    else:
        raise TypeError(
            f"a {kind.__name__} cannot be journaled; use dataclasses, tuples and scalars"
        )
    _ENCODERS[kind] = made
    return made


def _encode_items(value: Any) -> list[Any]:
    # Without a call for each: the ids and logprobs of a text are many.
    return [v if type(v) in _SCALARS else encode(v) for v in value]  # pyright: ignore[reportUnknownArgumentType]


def _encode_prompt(value: Prompt) -> str:
    return value.digest


def _encode_mapping(value: Mapping[Any, Any]) -> dict[str, Any]:
    if not all(isinstance(k, str) for k in value):
        raise TypeError(
            "a mapping whose keys are no strings cannot be journaled; JSON has no others"
        )
    return {k: encode(v) for k, v in value.items()}


def _encode_record(kind: type) -> Encoder:
    plan = [(f.name, f.default, f.default_factory) for f in dataclasses.fields(kind)]
    missing = dataclasses.MISSING

    def build(value: Any) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for name, default, factory in plan:
            held = getattr(value, name)
            if held is default or (held == default and type(held) is type(default)):
                continue
            if factory is not missing and held == factory():
                continue
            out[name] = encode(held)
        return out

    return build


def decode(kind: Any, raw: Any) -> Any:
    """The value of type `kind` that `encode` turned into `raw`."""
    return decoder(kind)(raw)


def _same(raw: Any) -> Any:
    return raw


_ENCODERS: dict[type, Encoder] = {
    str: _same,
    int: _same,
    float: _same,
    bool: _same,
    type(None): _same,
} | {tuple: _encode_items, list: _encode_items, Prompt: _encode_prompt}


def freeze(raw: Any) -> Any:
    """JSON values with tuples for lists, so that they can be fields of frozen values."""
    if isinstance(raw, list):
        return tuple(freeze(r) for r in raw)  # pyright: ignore[reportUnknownVariableType]
    if isinstance(raw, dict):
        return {k: freeze(v) for k, v in raw.items()}  # pyright: ignore[reportUnknownVariableType]
    return raw


@functools.cache
def decoder(kind: Any) -> Decoder:
    """A function that rebuilds a value of this type; made once a type.

    Raises:
        TypeError: for a type that has no decoder.
    """
    origin = typing.get_origin(kind)
    args = typing.get_args(kind)
    if kind is Any or kind is object or isinstance(kind, TypeVar):
        return freeze
    if kind is float:
        return lambda raw: float(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw
    if kind in (str, int, bool, type(None)) or origin is Literal:
        return _same
    if origin is tuple:
        return _tuple(args)
    if origin in (Mapping, dict, typing.get_origin(Mapping[str, int])):
        item = decoder(args[1])
        return lambda raw: {k: item(v) for k, v in raw.items()}
    if origin in (Union, types.UnionType):
        return _union(args)
    cls: Any = origin or kind
    if isinstance(cls, type) and dataclasses.is_dataclass(cls):
        return _record(cls, args)
    raise TypeError(f"{kind!r} has no decoder")


def _tuple(args: tuple[Any, ...]) -> Decoder:
    if len(args) == 2 and args[1] is Ellipsis:
        item = decoder(args[0])
        return tuple if item is _same else lambda raw: tuple(item(r) for r in raw)
    parts = [decoder(a) for a in args]
    return lambda raw: tuple(p(r) for p, r in zip(parts, raw, strict=True))


def _record(cls: type, args: tuple[Any, ...]) -> Decoder:
    hints = typing.get_type_hints(cls)
    bound = dict(zip(getattr(cls, "__parameters__", ()), args, strict=False))
    parts: dict[str, Decoder] | None = None

    def build(raw: Any) -> Any:
        nonlocal parts
        if parts is None:  # made late, so that a type may contain itself
            parts = {f.name: decoder(_bind(hints[f.name], bound)) for f in dataclasses.fields(cls)}
        return cls(**{k: parts[k](v) for k, v in raw.items()})

    return build


def _bind(hint: Any, bound: dict[Any, Any]) -> Any:
    if hint in bound:
        return bound[hint]
    parameters = getattr(hint, "__parameters__", ())
    if parameters and bound:
        return hint[tuple(bound.get(p, p) for p in parameters)]
    return hint


def _union(args: tuple[Any, ...]) -> Decoder:
    """Optional values, and unions of dataclasses that differ in a required field."""
    rest = [a for a in args if a is not type(None)]
    records = [a for a in rest if dataclasses.is_dataclass(typing.get_origin(a) or a)]
    plain = [a for a in rest if a not in records]
    readers = [(_required(typing.get_origin(a) or a), decoder(a)) for a in records]
    scalar = decoder(plain[0]) if len(plain) == 1 else freeze

    def build(raw: Any) -> Any:
        if raw is None:
            return None
        if isinstance(raw, dict):
            keys = frozenset(raw)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            for required, read in readers:
                if required <= keys:
                    return read(raw)
        return scalar(raw)

    return build


def _required(cls: type) -> frozenset[str]:
    return frozenset(
        f.name
        for f in dataclasses.fields(cls)
        if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
