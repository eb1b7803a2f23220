"""A request's body: read within limits of size, time and depth before it is trusted with memory."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any, Final, cast

from .refusals import Refused, invalid

if TYPE_CHECKING:
    from starlette.types import Receive, Scope

    from cogitate.assembly.gateway_settings import GatewaySettings

# A string that never ends runs to the end of the body, or each of its quotes would be looked at anew.
_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]|[\]}]', re.DOTALL)
_OPENERS = b"[{"


class Gone(Exception):
    """The client went away before its request was whole."""


async def read_body(scope: Scope, receive: Receive, settings: GatewaySettings) -> bytes:
    """The whole body.

    Raises:
        Refused: where it is too large, or not JSON by its own word.
        Gone: where the client left.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > settings.max_body_bytes:
            raise _too_large(settings)
        if name == b"content-type" and not _is_json(value):
            raise Refused(
                415, "the body must be JSON; send Content-Type: application/json", code="not_json"
            )
    message = await receive()
    if message["type"] == "http.disconnect":
        raise Gone
    body: bytes = message.get("body", b"")
    if not message.get("more_body"):
        if len(body) > settings.max_body_bytes:
            raise _too_large(settings)
        return body
    pieces, size = [body], len(body)
    while message.get("more_body"):
        if size > settings.max_body_bytes:
            raise _too_large(settings)
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        pieces.append(message.get("body", b""))
        size += len(pieces[-1])
    if size > settings.max_body_bytes:
        raise _too_large(settings)
    return b"".join(pieces)


def too_slow(settings: GatewaySettings) -> Refused:
    """The body was not whole in time."""
    return Refused(
        408,
        f"the body was not whole after {settings.body_seconds:g} s; send it faster",
        code="slow_body",
        kind="invalid_request_error",
    )


def parsed(raw: bytes, settings: GatewaySettings) -> dict[str, Any]:
    """The body as a JSON object.

    Raises:
        Refused: for what is none, or is nested too deep.
    """
    if raw.count(b"[") + raw.count(b"{") > settings.max_depth and _depth(raw) > settings.max_depth:
        raise invalid(
            f"the body is nested deeper than {settings.max_depth}; flatten it", code="too_deep"
        )
    try:
        body = _DECODE(raw.decode())
    except (ValueError, RecursionError) as error:
        reason = str(error).split(":", 1)[0] if isinstance(error, json.JSONDecodeError) else ""
        raise invalid(
            f"the body is not JSON{f' ({reason})' if reason else ''}; send one JSON object",
            code="not_json",
        ) from None
    if not isinstance(body, dict):
        raise invalid("the body must be a JSON object", code="not_json")
    return cast("dict[str, Any]", body)


def _depth(raw: bytes) -> int:
    """How many brackets are open at once at most; those in strings do not count."""
    depth = deepest = 0
    for found in _BRACKETS.finditer(raw):
        first = raw[found.start()]
        if first == 34:
            continue
        if first in _OPENERS:
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _no_constant(word: str) -> float:
    raise ValueError(f"{word} is no JSON")


def _is_json(value: bytes) -> bool:
    kind = value.split(b";", 1)[0].strip().lower()
    return kind == b"application/json" or kind.endswith(b"+json")


_DECODE: Final = json.JSONDecoder(parse_constant=_no_constant).decode


def _too_large(settings: GatewaySettings) -> Refused:
    return Refused(
        413,
        f"the body has more than {settings.max_body_bytes} bytes; send less",
        code="too_large",
    )


# -------------------------------------------------------------------------- fields by their type


def number(body: dict[str, Any], name: str, least: float, most: float) -> float | None:
    """A number in its range; `None` where it was not given.

    Raises:
        Refused: naming the field.
    """
    value = body.get(name)
    if value is None:
        return None
    fits = isinstance(value, int | float) and not isinstance(value, bool)
    if not fits or not math.isfinite(value) or not least <= value <= most:
        raise invalid(f"{name} must be a number from {least:g} to {most:g}", name)
    return float(value)


def whole(body: dict[str, Any], name: str, least: int, most: int) -> int | None:
    """A whole number in its range; `None` where it was not given.

    Raises:
        Refused: naming the field.
    """
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise invalid(f"{name} must be a whole number from {least} to {most}", name)
    return value


def flag(body: dict[str, Any], name: str) -> bool | None:
    """True or false; `None` where it was not given.

    Raises:
        Refused: naming the field.
    """
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(f"{name} must be true or false", name)
    return value


def text(held: Any, param: str) -> str:
    """A string that UTF-8 can hold.

    Raises:
        Refused: naming the field.
    """
    if not isinstance(held, str):
        raise invalid(f"{param} must be a string", param)
    try:
        held.encode()
    except UnicodeEncodeError:
        raise invalid(f"{param} holds half a surrogate pair; send valid Unicode", param) from None
    return held
