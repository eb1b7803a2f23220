"""What a request's body asks for: every field is honoured, or refused by its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from cogitate.core.task import KINDS, Manner, Message, Task

from .bodies import flag, number, text, whole
from .messages import choice_of, messages_of, tools_of
from .refusals import Refused, invalid

if TYPE_CHECKING:
    from cogitate.assembly.gateway_settings import GatewaySettings

LARGEST_SEED: Final = 2**53

_SHARED: Final = (
    "model",
    "stream",
    "stream_options",
    "n",
    "seed",
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "max_tokens",
    "stop",
    "logprobs",
    "cogitate",
)
CHAT_FIELDS: Final = frozenset(
    (
        *_SHARED,
        "messages",
        "max_completion_tokens",
        "top_logprobs",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
    )
)
TEXT_FIELDS: Final = frozenset((*_SHARED, "prompt"))
OWN_FIELDS: Final = ("strategy", "budget", "kind", "seed", "bare", "scorer")
"""What may stand in the body's `cogitate`."""

UNFELT: Final = frozenset(
    (
        "user",
        "metadata",
        "safety_identifier",
        "prompt_cache_key",
        "prompt_cache_retention",
    )
)
"""Fields that change no answer; a strategy has no use for them."""

_PLAIN: Final[Mapping[str, tuple[Any, ...]]] = {
    "store": (False,),
    "service_tier": ("auto", "default"),
    "modalities": (["text"],),
    "logit_bias": ({},),
    "echo": (False,),
    "best_of": (1,),
    "suffix": ("",),
    "verbosity": ("medium",),
}
"""Fields that are taken only where they say what is done anyway."""


@dataclass(frozen=True)
class Wanted:
    """A request as it was read, apart from who answers it and how."""

    task: Task
    chat: bool
    """Whether it came to `/chat/completions`."""
    candidates: int = 1
    """`n`."""
    stream: bool = False
    include_usage: bool = False
    seed: int | None = None
    effort: str = ""
    completion_tokens: int | None = None
    """`max_completion_tokens`."""
    own: Mapping[str, Any] | None = None
    """The body's `cogitate`."""
    shows_logprobs: bool = False
    top_logprobs: int = 0


def wanted_chat(body: dict[str, Any], settings: GatewaySettings) -> Wanted:
    """What a body of `/chat/completions` asks for.

    Raises:
        Refused: naming the field that cannot be read or honoured.
    """
    refuse_unknown(body, CHAT_FIELDS)
    messages = messages_of(
        body.get("messages"),
        most=settings.max_messages,
        allow_private=settings.allow_private_images,
    )
    own = own_of(body)
    shows, top = flag(body, "logprobs") is True, whole(body, "top_logprobs", 0, 20)
    if top is not None and not shows:
        raise invalid("top_logprobs needs logprobs: true", "top_logprobs")
    tools, choice = tools_of(body.get("tools")), choice_of(body.get("tool_choice"))
    if not tools and choice not in ("", "none", "auto"):
        raise invalid("tool_choice asks for a tool, but there are no tools", "tool_choice")
    kind, schema, constrained = _format(body.get("response_format"))
    cap = whole(body, "max_completion_tokens", 1, LARGEST_SEED)
    each = whole(body, "max_tokens", 1, LARGEST_SEED)
    effort = text(body.get("reasoning_effort") or "", "reasoning_effort")
    task = _task(messages, kind, schema, own, bool(tools))
    manner = Manner(
        **_sampling(body),
        max_tokens=min((t for t in (each, cap) if t is not None), default=None),
        logprobs=(top or 0) if shows else -1,
        tools=tools,
        tool_choice=choice if tools else "",
        parallel_calls=flag(body, "parallel_tool_calls") if tools else None,
        constrained=constrained,
        bare=_bare(own, task, bool(kind)),
    )
    wanted = Wanted(replace(task, manner=manner), True, effort=effort, completion_tokens=cap)
    return _streamed(body, settings, replace(wanted, shows_logprobs=shows, top_logprobs=top or 0))


def wanted_text(body: dict[str, Any], settings: GatewaySettings) -> Wanted:
    """What a body of the older `/completions` asks for: its prompt is the question.

    Raises:
        Refused: naming the field that cannot be read or honoured.
    """
    refuse_unknown(body, TEXT_FIELDS)
    prompt = body.get("prompt")
    if isinstance(prompt, list) and len(cast(list[Any], prompt)) == 1:
        prompt = cast(list[Any], prompt)[0]
    if not isinstance(prompt, str):
        raise invalid("prompt must be one text under a strategy", "prompt")
    own = own_of(body)
    top = whole(body, "logprobs", 0, 5)
    if top is not None:
        raise invalid("logprobs are given under a strategy by /chat/completions alone", "logprobs")
    messages = (Message("user", text(prompt, "prompt")),)
    task = _task(messages, "", "", own, False)
    manner = Manner(
        **_sampling(body),
        max_tokens=whole(body, "max_tokens", 1, LARGEST_SEED),
        bare=_bare(own, task, False),
    )
    return _streamed(body, settings, Wanted(replace(task, manner=manner), False))


def refuse_unknown(body: dict[str, Any], known: frozenset[str]) -> None:
    """Refuse the fields that nobody honours.

    Raises:
        Refused: naming the first.
    """
    for name, value in body.items():
        if value is None or name in known or name in UNFELT:
            continue
        if name in _PLAIN and value in _PLAIN[name]:
            continue
        raise Refused(
            400,
            f"{name[:80]} is not honoured by a strategy; leave it out, or name a server's model alone, which "
            "gets the request as it is",
            param=name[:80],
            code="unsupported_parameter" if name in _PLAIN else "unknown_parameter",
        )


def own_of(body: dict[str, Any]) -> Mapping[str, Any]:
    """The body's `cogitate`.

    Raises:
        Refused: where it is no object, or holds what is not known.
    """
    own = body.get("cogitate")
    if own is None:
        return {}
    if not isinstance(own, dict):
        raise invalid("cogitate must be an object", "cogitate")
    held = cast(dict[str, Any], own)
    for name in held:
        if name not in OWN_FIELDS:
            raise invalid(
                f"cogitate.{name[:80]} is not known; there are {', '.join(OWN_FIELDS)}",
                f"cogitate.{name[:80]}",
            )
    return held


# ------------------------------------------------------------------------------------- inside


def _streamed(body: dict[str, Any], settings: GatewaySettings, wanted: Wanted) -> Wanted:
    own = wanted.own if wanted.own is not None else own_of(body)
    stream = flag(body, "stream") is True
    options = body.get("stream_options")
    include = False
    if options is not None:
        if not stream:
            raise invalid("stream_options needs stream: true", "stream_options")
        if not isinstance(options, dict):
            raise invalid("stream_options must be an object", "stream_options")
        held = cast(dict[str, Any], options)
        for name in held:
            if name not in ("include_usage", "include_obfuscation"):
                raise invalid(f"stream_options.{name[:80]} is not known", "stream_options")
        include = flag(held, "include_usage") is True
    return replace(
        wanted,
        candidates=whole(body, "n", 1, settings.max_candidates) or 1,
        stream=stream,
        include_usage=include,
        seed=_seed(body, own),
        own=own,
    )


def _seed(body: dict[str, Any], own: Mapping[str, Any]) -> int | None:
    said = whole(body, "seed", -LARGEST_SEED, LARGEST_SEED)
    inner = own.get("seed")
    if inner is None:
        return said
    if not isinstance(inner, int) or isinstance(inner, bool) or abs(inner) > LARGEST_SEED:
        raise invalid("cogitate.seed must be a whole number", "cogitate.seed")
    if said is not None and said != inner:
        raise invalid("seed and cogitate.seed differ; give one", "cogitate.seed")
    return inner


def _sampling(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "temperature": number(body, "temperature", 0, 2),
        "top_p": number(body, "top_p", 0, 1),
        "presence_penalty": number(body, "presence_penalty", -2, 2) or 0.0,
        "frequency_penalty": number(body, "frequency_penalty", -2, 2) or 0.0,
        "stop": _stop(body.get("stop")),
    }


def _stop(raw: Any) -> tuple[str, ...]:
    if raw is None:
        return ()
    listed = [raw] if isinstance(raw, str) else raw
    if not isinstance(listed, list) or len(cast(list[Any], listed)) > 16:
        raise invalid("stop must be a string or a list of at most 16", "stop")
    found = tuple(text(item, "stop") for item in cast(list[Any], listed))
    if not all(found):
        raise invalid("stop must not hold an empty string", "stop")
    return found


def _format(raw: Any) -> tuple[str, str, bool]:
    """Kind of answer, schema, and whether it is enforced, from `response_format`."""
    if raw is None:
        return "", "", False
    if not isinstance(raw, dict):
        raise invalid("response_format must be an object", "response_format")
    held = cast(dict[str, Any], raw)
    match held.get("type"):
        case "text":
            return "", "", False
        case "json_object":
            return "json", "", True
        case "json_schema":
            described = held.get("json_schema")
            schema = (
                cast(dict[str, Any], described).get("schema")
                if isinstance(described, dict)
                else None
            )
            if not isinstance(schema, dict):
                raise invalid(
                    "response_format.json_schema.schema must be a JSON schema", "response_format"
                )
            return "json", json.dumps(schema, ensure_ascii=False), True
        case _:
            raise invalid(
                "response_format.type must be text, json_object or json_schema", "response_format"
            )


def _task(
    messages: tuple[Message, ...], kind: str, schema: str, own: Mapping[str, Any], tools: bool
) -> Task:
    """The task; its kind is judged from the last question unless it was said."""
    from cogitate.assembly import asked

    said = own.get("kind")
    if said is not None and said not in KINDS:
        raise invalid(f"cogitate.kind must be one of {', '.join(KINDS)}", "cogitate.kind")
    if said is not None and kind and said != kind:
        raise invalid(
            "response_format asks for JSON, and cogitate.kind for something else", "cogitate.kind"
        )
    question = next((m.content for m in reversed(messages) if m.role == "user"), "")
    judged = "text" if tools or not question.strip() else None
    options: tuple[str, ...] = ()
    if not (chosen := said or kind or judged):
        found = asked(question).task
        chosen, options = found.kind, found.options
    elif chosen == "choice":
        options = asked(question, "choice").task.options
    if not any(m.content.strip() or m.attachments or m.calls for m in messages):
        raise invalid("the messages are empty; ask something", "messages")
    return Task(messages, kind=chosen, schema=schema, options=options)


def _bare(own: Mapping[str, Any], task: Task, formed: bool) -> bool:
    """Whether nothing of ours is added: where the answer's form matters to nobody but the caller."""
    said = own.get("bare")
    if said is not None and not isinstance(said, bool):
        raise invalid("cogitate.bare must be true or false", "cogitate.bare")
    # A turn that the assistant began is not continued word for word, as it would be beside an instruction.
    begun = task.messages[-1].role == "assistant"
    return said if said is not None else formed or begun or task.kind == "text"
