"""Messages in the shape of OpenAI's chat: roles, texts, images and files in their places, calls and answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cogitate.core.errors import Failed
from cogitate.core.task import Attachment, Message

Part = dict[str, Any]
Form = Callable[[Attachment], Part]
"""Makes the part of a message that is an attachment; raises where it has no form."""
Refuse = Callable[[str, str], Failed]
"""Makes the refusal of an attachment, given what was asked for and what to do instead."""


def said(message: Message, form: Form) -> dict[str, Any]:
    """One message as a server reads it.

    Raises:
        Failed: what `form` raises, for an attachment that has none.
    """
    found: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.attachments:
        found["content"] = parts(message, form)
    elif message.calls and not message.content:
        found["content"] = None
    if message.name:
        found["name"] = message.name
    if message.calls:
        found["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.calls
        ]
    if message.call_id:
        found["tool_call_id"] = message.call_id
    return found


def parts(message: Message, form: Form) -> list[Part]:
    """The text in pieces, with each attachment in its place."""
    found: list[Part] = []
    at = 0
    for attached in sorted(message.attachments, key=lambda a: a.place):
        place = max(at, min(attached.place, len(message.content)))
        if place > at:
            found.append({"type": "text", "text": message.content[at:place]})
        found.append(form(attached))
        at = place
    if at < len(message.content):
        found.append({"type": "text", "text": message.content[at:]})
    return found


def part(attached: Attachment, refuse: Refuse) -> Part:
    """An attachment in OpenAI's own form: images by any address, sound and files by their bytes.

    Raises:
        Failed: what `refuse` makes.
    """
    url, kind = attached.url, attached.media_type
    if not url:
        raise refuse(
            f"an attachment of {kind or 'unknown type'} without an address", "attach it by its URL"
        )
    if kind.startswith("image/"):
        detail = {"detail": attached.detail} if attached.detail else {}
        return {"type": "image_url", "image_url": {"url": url, **detail}}
    if not url.startswith("data:"):
        raise refuse(
            f"an attachment of {kind or 'unknown type'} by its address",
            "give its bytes as a data: URL, or attach images",
        )
    if kind.startswith("audio/"):
        held = {"data": url.partition(",")[2], "format": kind.removeprefix("audio/")}
        return {"type": "input_audio", "input_audio": held}
    named = {"filename": attached.name} if attached.name else {}
    return {"type": "file", "file": {"file_data": url, **named}}
