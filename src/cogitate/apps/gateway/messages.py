"""The messages of a chat as a task holds them: turns stay turns, and images keep their place in the text."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

from cogitate.core.task import Attachment, Message, ToolCall

from .addresses import check_address
from .bodies import text
from .refusals import invalid

_ROLES: Final = ("system", "developer", "user", "assistant", "tool")
_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "system": ("role", "content", "name"),
    "developer": ("role", "content", "name"),
    "user": ("role", "content", "name"),
    "assistant": ("role", "content", "name", "tool_calls", "refusal"),
    "tool": ("role", "content", "tool_call_id", "name"),
}
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,256}")
_MEDIA = re.compile(r"data:([\w.+-]+/[\w.+-]+)[;,]", re.IGNORECASE)
_IMAGE: Final = "image/*"


def messages_of(raw: Any, *, most: int, allow_private: bool) -> tuple[Message, ...]:
    """The conversation.

    Raises:
        Refused: for what is no conversation, naming the message and the field.
    """
    if not isinstance(raw, list) or not raw:
        raise invalid("messages must be a list of at least one message", "messages")
    listed = cast(list[Any], raw)
    if len(listed) > most:
        raise invalid(
            f"there are {len(listed)} messages; at most {most} are taken", "messages", "too_many"
        )
    return tuple(_message(item, f"messages[{at}]", allow_private) for at, item in enumerate(listed))


def _message(raw: Any, at: str, allow_private: bool) -> Message:
    if not isinstance(raw, dict):
        raise invalid(f"{at} must be an object with role and content", at)
    held = {k: v for k, v in cast(dict[str, Any], raw).items() if v is not None}
    role = held.get("role")
    if role not in _ROLES:
        raise invalid(f"{at}.role must be one of {', '.join(_ROLES)}", f"{at}.role")
    for name in held:
        if name not in _FIELDS[role]:
            raise invalid(f"{at}.{name} is not known for the role {role}", f"{at}.{name}")
    content, attachments = _content(held.get("content"), f"{at}.content", allow_private)
    if refusal := held.get("refusal"):
        content += text(refusal, f"{at}.refusal")
    calls = _calls(held.get("tool_calls"), f"{at}.tool_calls")
    if role == "assistant":
        if not (content or calls or attachments or "content" in held):
            raise invalid(f"{at} has neither content nor tool_calls", f"{at}.content")
    elif "content" not in held:
        raise invalid(f"{at}.content is missing", f"{at}.content")
    call_id = _name(held.get("tool_call_id", ""), f"{at}.tool_call_id")
    if role == "tool" and not call_id:
        raise invalid(f"{at}.tool_call_id must say which call is answered", f"{at}.tool_call_id")
    named = _name(held.get("name", ""), f"{at}.name")
    spoken = "system" if role == "developer" else role
    return Message(spoken, content, attachments, calls, call_id, named)


def _content(raw: Any, at: str, allow_private: bool) -> tuple[str, tuple[Attachment, ...]]:
    if raw is None:
        return "", ()
    if isinstance(raw, str):
        return text(raw, at), ()
    if not isinstance(raw, list):
        raise invalid(f"{at} must be text or a list of parts", at)
    said, attachments = "", list[Attachment]()
    for place, part in enumerate(cast(list[Any], raw)):
        here = f"{at}[{place}]"
        if not isinstance(part, dict):
            raise invalid(f"{here} must be an object with a type", here)
        found = _part(cast(dict[str, Any], part), here, len(said), allow_private)
        if isinstance(found, str):
            said += found
        else:
            attachments.append(found)
    return said, tuple(attachments)


def _part(part: dict[str, Any], at: str, place: int, allow_private: bool) -> str | Attachment:
    match part.get("type"):
        case "text" | "refusal" as kind:
            _only(part, at, ("type", kind))
            return text(part.get(kind), f"{at}.{kind}")
        case "image_url":
            _only(part, at, ("type", "image_url"))
            return _image(part.get("image_url"), f"{at}.image_url", place, allow_private)
        case "input_audio":
            _only(part, at, ("type", "input_audio"))
            held = _object(part.get("input_audio"), f"{at}.input_audio", ("data", "format"))
            form = text(held.get("format"), f"{at}.input_audio.format")
            if not re.fullmatch(r"[a-z0-9]{1,16}", form):
                raise invalid(f"{at}.input_audio.format must be wav or mp3", at)
            data = text(held.get("data"), f"{at}.input_audio.data")
            return Attachment(f"audio/{form}", url=f"data:audio/{form};base64,{data}", place=place)
        case "file":
            _only(part, at, ("type", "file"))
            return _file(part.get("file"), f"{at}.file", place)
        case _:
            raise invalid(f"{at}.type must be text, image_url, input_audio or file", f"{at}.type")


def _image(raw: Any, at: str, place: int, allow_private: bool) -> Attachment:
    held = {"url": raw} if isinstance(raw, str) else _object(raw, at, ("url", "detail"))
    url = text(held.get("url"), f"{at}.url")
    check_address(url, f"{at}.url", allow_private=allow_private)
    detail = text(held.get("detail") or "", f"{at}.detail")
    media = _MEDIA.match(url[:200])
    return Attachment(media.group(1) if media else _IMAGE, url=url, place=place, detail=detail)


def _file(raw: Any, at: str, place: int) -> Attachment:
    held = _object(raw, at, ("file_data", "filename"))
    data = text(held.get("file_data"), f"{at}.file_data")
    media = _MEDIA.match(data[:200])
    if media is None:
        raise invalid(
            f"{at}.file_data must be a data: URL, such as data:application/pdf;base64,…",
            f"{at}.file_data",
        )
    name = _name(held.get("filename") or "", f"{at}.filename")
    return Attachment(media.group(1), url=data, place=place, name=name)


def _calls(raw: Any, at: str) -> tuple[ToolCall, ...]:
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise invalid(f"{at} must be a list", at)
    found: list[ToolCall] = []
    for place, item in enumerate(cast(list[Any], raw)):
        here = f"{at}[{place}]"
        held = _object(item, here, ("id", "type", "function", "index"))
        if held.get("type", "function") != "function":
            raise invalid(f"{here}.type must be function", f"{here}.type")
        called = _object(held.get("function"), f"{here}.function", ("name", "arguments"))
        name = _name(called.get("name"), f"{here}.function.name")
        arguments = text(called.get("arguments", ""), f"{here}.function.arguments")
        found.append(ToolCall(_name(held.get("id"), f"{here}.id"), name, arguments))
    return tuple(found)


def tools_of(raw: Any) -> tuple[str, ...]:
    """The tools, each as the JSON text of what the caller gave.

    Raises:
        Refused: for what is no tool.
    """
    if raw is None:
        return ()
    if not isinstance(raw, list):
        raise invalid("tools must be a list", "tools")
    found: list[str] = []
    for at, item in enumerate(cast(list[Any], raw)):
        held = _object(item, f"tools[{at}]", ("type", "function"))
        if held.get("type") != "function":
            raise invalid(
                f"tools[{at}].type must be function; nothing else is called under a strategy",
                f"tools[{at}].type",
            )
        known = ("name", "description", "parameters", "strict")
        function = _object(held.get("function"), f"tools[{at}].function", known)
        _name(function.get("name"), f"tools[{at}].function.name")
        found.append(json.dumps(item, ensure_ascii=False))
    return tuple(found)


def choice_of(raw: Any) -> str:
    """Which tool must be called: a word, or the JSON text that names one; empty where nothing was said.

    Raises:
        Refused: for what is no choice.
    """
    if raw is None:
        return ""
    if isinstance(raw, str):
        if raw not in ("auto", "none", "required"):
            raise invalid("tool_choice must be auto, none, required or name a tool", "tool_choice")
        return raw
    held = _object(raw, "tool_choice", ("type", "function"))
    function = _object(held.get("function"), "tool_choice.function", ("name",))
    _name(function.get("name"), "tool_choice.function.name")
    return json.dumps(raw, ensure_ascii=False)


def _name(raw: Any, at: str) -> str:
    said = text(raw, at)
    if said and not _NAME.fullmatch(said):
        raise invalid(f"{at} must be at most 256 characters without control characters", at)
    return said


def _object(raw: Any, at: str, known: Sequence[str]) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise invalid(f"{at} must be an object", at)
    held = {k: v for k, v in cast(dict[str, Any], raw).items() if v is not None}
    _only(held, at, known)
    return held


def _only(held: dict[str, Any], at: str, known: Sequence[str]) -> None:
    for name in held:
        if name not in known:
            raise invalid(f"{at}.{name} is not known; there are {', '.join(known)}", f"{at}.{name}")
