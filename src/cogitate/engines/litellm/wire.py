"""Requests in the library's names; what a provider lacks is refused by name before it is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from cogitate.core.errors import Failed
from cogitate.core.needs import EVERYTHING, lacking
from cogitate.core.prompt import Prompt
from cogitate.core.requests import (
    ANY_JSON,
    Choice,
    Constraint,
    Generate,
    Grammar,
    JsonSchema,
    Regex,
)
from cogitate.core.task import Attachment, unreadable_tools
from cogitate.core.usage import ZERO
from cogitate.engines.openai.messages import Part, said
from cogitate.engines.openai.wire import calling, penalties


def arguments(
    request: Generate, model: str, can: frozenset[str], *, prefill: bool, schema: bool
) -> dict[str, Any]:
    """The arguments of one call.

    Args:
        request: what is asked.
        model: what to call the model in a refusal.
        can: the parameters that its provider takes, by OpenAI's names.
        prefill: whether it continues a begun answer.
        schema: whether it enforces a JSON schema.

    Raises:
        Failed: `unsupported`, naming what the provider lacks.
    """
    wrong = unreadable_tools(request.tools, request.tool_choice, request.parallel_calls)
    if refusal := wrong or lacking(request, EVERYTHING):
        raise unsupported(refusal)
    made: dict[str, Any] = {
        "messages": messages(request.prompt, model, prefill=prefill),
        "max_tokens": request.max_tokens,
    }
    made |= _drawing(request, model, can)
    if "seed" in can:
        made["seed"] = request.seed % 2**31  # some providers take no more bits
    if request.logprobs >= 0:
        if "logprobs" not in can or (request.logprobs and "top_logprobs" not in can):
            raise lacks(model, "log-probabilities of the output")
        made |= {"logprobs": True}
        if "top_logprobs" in can:
            made["top_logprobs"] = request.logprobs
    if request.constraint is not None:
        formats = "response_format" in can
        made |= _constrained(request.constraint, model, schema=schema and formats, any_json=formats)
    return made


def _drawing(request: Generate, model: str, can: frozenset[str]) -> dict[str, Any]:
    """How it is drawn, and the tools that may be called.

    Raises:
        Failed: `unsupported`, naming what the provider lacks.
    """
    made: dict[str, Any] = {}
    drawn = request.sampling
    if drawn.top_k or drawn.min_p:
        raise lacks(model, "top_k or min_p sampling; set both to 0")
    for name, value, plain in (
        ("temperature", drawn.temperature, 1.0),
        ("top_p", drawn.top_p, 1.0),
    ):
        if name in can:
            if name == "temperature" or value != plain:
                made[name] = value
        elif value != plain:
            raise lacks(model, f"{name}={value:g}; set it to 1")
    for name, value in (calling(request) | penalties(request)).items():
        if name not in can:
            raise lacks(model, f"{name}; leave it out")
        made[name] = value
    return made


def messages(prompt: Prompt, model: str, *, prefill: bool) -> list[dict[str, Any]]:
    """The chat, with what was begun of the answer at its end.

    Raises:
        Failed: for raw prompts, for begun answers and attachments that cannot be said.
    """
    told = prompt.messages
    if not told:
        raise lacks(model, "raw prompts and token ids; give the prompt as chat messages")
    found = [said(message, lambda a: _part(a, model)) for message in told]
    if prompt.prefill:
        if not prefill:
            raise lacks(
                model,
                "the continuation of a begun answer; use a strategy that does not continue answers",
            )
        found.append({"role": "assistant", "content": prompt.prefill, "prefix": True})
    return found


def _part(attached: Attachment, model: str) -> Part:
    url, kind = attached.url, attached.media_type
    if not url:
        raise lacks(model, "an attachment without an address; attach files by URL")
    if kind.startswith("image/"):
        detail = {"detail": attached.detail} if attached.detail else {}
        return {"type": "image_url", "image_url": {"url": url, "format": kind, **detail}}
    if kind.startswith("audio/") and url.startswith("data:"):
        held = {"data": url.partition(",")[2], "format": kind.removeprefix("audio/")}
        return {"type": "input_audio", "input_audio": held}
    if kind == "application/pdf" or url.startswith("data:"):
        named = {"filename": attached.name} if attached.name else {}
        where = "file_data" if url.startswith("data:") else "file_id"
        return {"type": "file", "file": {where: url, "format": kind, **named}}
    raise lacks(
        model, f"an attachment of {kind or 'unknown type'}; attach images, sound or PDF files"
    )


def _constrained(
    constraint: Constraint, model: str, *, schema: bool, any_json: bool
) -> dict[str, Any]:
    match constraint:
        case JsonSchema(schema=held) if held == ANY_JSON and any_json:
            return {"response_format": {"type": "json_object"}}
        case JsonSchema() if schema:
            try:
                held: Any = json.loads(constraint.schema)
            except ValueError:
                held = None
            if not isinstance(held, dict):
                raise unsupported(
                    "the JSON schema that was asked for is no JSON object; correct it"
                )
            named = {"name": "answer", "schema": cast(Mapping[str, Any], held), "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": named}}
        case JsonSchema():
            raise lacks(model, "the constraint json_schema")
        case Choice() | Grammar() | Regex():
            raise lacks(model, f"the constraint {type(constraint).__name__.lower()}")


def lacks(model: str, what: str) -> Failed:
    """The refusal of what a provider does not do."""
    return unsupported(f"the model {model} does not serve {what}")


def unsupported(reason: str) -> Failed:
    """A refusal before anything was sent."""
    return Failed(reason, "unsupported", usage=ZERO)
