"""Calls from a harness to a program in another sandbox: plain values cross, objects never do."""

from __future__ import annotations

import builtins
import itertools
import math
import socket
from collections.abc import Iterator
from typing import Any, cast

from . import frames

_LARGEST = 64 * 1024 * 1024
_ITEMS = 100_000
_EXACT = 1 << 53
"""Whole numbers beyond this cross as text, as JSON elsewhere would round them."""


class ProgramError(Exception):
    """The program raised an exception that is none of Python's own."""


class ProgramEnded(Exception):
    """The program is gone: it exited, crashed or was killed."""


class Program:
    """In a harness: `program.name(...)` calls a function of the program under test."""

    def __init__(self, channel: socket.socket) -> None:
        self.__channel = channel

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(*args: Any, **kwargs: Any) -> Any:
            return self.__ask(name, args, kwargs)

        return call

    def __ask(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        asked = {"call": name, "args": encode(list(args)), "kwargs": encode(kwargs)}
        try:
            frames.send(self.__channel, asked)
            reply = frames.receive(self.__channel, _LARGEST)
        except frames.Ended:
            raise ProgramEnded("the program under test ended before it answered") from None
        return _answer(reply, args)


def _answer(reply: Any, args: tuple[Any, ...]) -> Any:
    if not isinstance(reply, dict):
        raise ProgramEnded("the program under test answered with nonsense")
    reply = cast("dict[str, Any]", reply)
    if "error" in reply:
        kind = getattr(builtins, str(reply["error"]), None)
        text = str(reply.get("message", ""))
        if isinstance(kind, type) and issubclass(kind, Exception):
            try:
                raised = kind(text)
            except Exception:
                raised = ProgramError(f"{reply['error']}: {text}")
            raise raised
        raise ProgramError(f"{reply['error']}: {text}")
    for place, changed in reply.get("changed", {}).items():
        _change(args[int(place)], decode(changed))
    return decode(reply.get("value"))


def _change(argument: Any, now: Any) -> None:
    """Let an argument that the program changed in place be changed here too."""
    held: Any = argument
    if isinstance(argument, list) and isinstance(now, list):
        argument[:] = now
    elif (isinstance(argument, dict) and isinstance(now, dict)) or (
        isinstance(argument, set) and isinstance(now, set)
    ):
        held.clear()
        held.update(now)


def serve(channel: socket.socket, space: dict[str, Any]) -> None:
    """In a program: answer calls until the harness ends."""
    while True:
        try:
            asked = frames.receive(channel, _LARGEST)
            frames.send(channel, _reply(asked, space))
        except frames.Ended:
            return


def _reply(asked: dict[str, Any], space: dict[str, Any]) -> dict[str, Any]:
    try:
        args, kwargs = decode(asked["args"]), decode(asked["kwargs"])
        before = [encode(argument) for argument in args]
        if asked["call"] not in space:
            raise NameError(f"name {asked['call']!r} is not defined")
        value = space[asked["call"]](*args, **kwargs)
        reply: dict[str, Any] = {"value": encode(value)}
        after = {str(i): encode(argument) for i, argument in enumerate(args)}
        reply["changed"] = {i: now for i, now in after.items() if now != before[int(i)]}
    except BaseException as error:
        return {"error": type(error).__name__, "message": str(error)[:4096]}
    return reply


def encode(value: Any) -> Any:
    """JSON values that say which of Python's plain types they were.

    Raises:
        TypeError: for anything but numbers, texts, bytes, containers and iterators of these.
    """
    if value is None or isinstance(value, bool | str):
        return value if type(value) in (bool, str, type(None)) else str(value)
    if isinstance(value, int):
        return int(value) if -_EXACT < value < _EXACT else {"i": hex(value)}
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"f": repr(float(value))}
    for kind, tag in (
        (list, "l"),
        (tuple, "t"),
        (frozenset, "z"),
        (set, "s"),
    ):
        if isinstance(value, kind):
            return {tag: [encode(item) for item in cast("list[Any]", value)]}
    if isinstance(value, dict):
        return {"d": [[encode(k), encode(v)] for k, v in cast("dict[Any, Any]", value).items()]}
    if isinstance(value, bytes | bytearray):
        return {"b": value.hex()}
    if isinstance(value, complex):
        return {"c": [encode(value.real), encode(value.imag)]}
    if isinstance(value, range):
        return {"r": [encode(value.start), encode(value.stop), encode(value.step)]}
    if isinstance(value, Iterator):
        items = itertools.islice(cast("Iterator[Any]", value), _ITEMS)
        return {"n": [encode(item) for item in items]}
    raise TypeError(f"a {type(value).__name__} cannot be passed between a program and its tests")


_MAKERS: dict[str, Any] = {
    "l": list,
    "t": tuple,
    "s": set,
    "z": frozenset,
    "n": iter,
}


def decode(raw: Any) -> Any:
    """The value that `encode` turned into `raw`.

    Raises:
        ValueError: for what `encode` never writes.
    """
    if not isinstance(raw, dict):
        if isinstance(raw, list):
            raise ValueError("not a value")
        return raw
    ((tag, held),) = cast("dict[str, Any]", raw).items()
    if tag in _MAKERS:
        return _MAKERS[tag]([decode(item) for item in held])
    match tag:
        case "i":
            return int(held, 16)
        case "f":
            return float(held)
        case "d":
            return {decode(k): decode(v) for k, v in held}
        case "b":
            return bytes.fromhex(held)
        case "c":
            return complex(*(decode(part) for part in held))
        case "r":
            return range(*(decode(part) for part in held))
        case _:
            raise ValueError("not a value")
