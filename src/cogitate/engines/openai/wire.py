"""Request bodies in each server's own names."""

from __future__ import annotations

import json
from typing import Any

from cogitate.core.errors import Failed
from cogitate.core.needs import Need, lacking, needs
from cogitate.core.requests import (
    ANY_JSON,
    Choice,
    Constraint,
    Generate,
    Grammar,
    JsonSchema,
    Regex,
)
from cogitate.core.task import TOOL_CHOICES, unreadable_tools

from .capabilities import Capabilities, ConstraintKind
from .prompts import Route, Sent, unsupported

PATHS: dict[Route, str] = {
    "chat": "chat/completions",
    "completions": "completions",
    "native": "/completion",
}


def refuse_needs(request: Generate, caps: Capabilities) -> Failed | None:
    """The first need of this request that the server lacks, as a refusal."""
    if request.logprobs >= 0 and not caps.logprobs:
        return unsupported("log-probabilities of the output", caps)
    if request.logprobs > caps.top_logprobs:
        return unsupported(
            f"the {request.logprobs} likeliest tokens",
            caps,
            f"it reports at most {caps.top_logprobs}; ask for no more",
        )
    if refusal := _unserved(request, caps):
        return refusal
    kind = None if request.constraint is None else kind_of(request.constraint)
    if kind is not None and kind not in caps.constraints:
        can = ", ".join(caps.constraints) or "none"
        return unsupported(f"the constraint {kind}", caps, f"the constraints it enforces: {can}")
    drawn = request.sampling
    if (drawn.top_k or drawn.min_p) and caps.dialect not in ("llamacpp", "sglang", "vllm"):
        return unsupported("top_k or min_p sampling", caps, "set both to 0")
    return None


_NEEDED: dict[Need, str] = {
    "tools": "tools",
    "attachments": "images and files",
    "penalties": "presence and frequency penalties",
}


def _unserved(request: Generate, caps: Capabilities) -> Failed | None:
    """What the conversation needs, and the tools that it may call."""
    served: dict[Need, bool] = {
        "tools": caps.tools,
        "attachments": caps.images,
        "penalties": caps.penalties,
    }
    for need in needs(request):
        if not served.get(need, True):
            return unsupported(_NEEDED[need], caps)
    wrong = unreadable_tools(request.tools, request.tool_choice, request.parallel_calls)
    chooses = request.tool_choice not in ("", "auto") or request.parallel_calls is not None
    if chooses and caps.dialect == "ollama" and not wrong:
        return unsupported("a choice among tools", caps, "leave tool_choice and parallel_calls out")
    refusal = wrong or lacking(request, needs(request))
    return Failed(refusal, "unsupported") if refusal else None


def kind_of(constraint: Constraint) -> ConstraintKind:
    """The name of this kind of constraint in `Capabilities`."""
    match constraint:
        case JsonSchema():
            return "json_schema"
        case Choice():
            return "choice"
        case Grammar():
            return "grammar"
        case Regex():
            return "regex"


def body(
    request: Generate,
    sent: Sent,
    caps: Capabilities,
    model: str,
    *,
    n: int = 1,
    seed: int,
    stream: bool,
    stop: tuple[str, ...],
) -> dict[str, Any]:
    """The body of one call that continues a prompt `n` times."""
    if sent.route == "native":
        made = _native(request, n)
    else:
        made = {"model": model, **_drawing(request, sent, caps, n)}
    made |= sent.fields
    made["seed"] = seed
    made["stream"] = stream
    if stream and sent.route != "native" and caps.usage_in_stream:
        made["stream_options"] = {"include_usage": True}
        if caps.dialect in ("vllm", "sglang"):
            made["stream_options"]["continuous_usage_stats"] = True
    if stop:
        made["stop"] = list(stop)
        if caps.dialect == "vllm":
            made["include_stop_str_in_output"] = True
        elif caps.dialect == "sglang":
            made["no_stop_trim"] = True
    if request.constraint is not None:
        made |= _constrained(request.constraint, sent.route, caps)
    return made | calling(request)


def calling(request: Generate) -> dict[str, Any]:
    """The tools and the choice among them, in OpenAI's names."""
    made: dict[str, Any] = {}
    if request.tools:
        made["tools"] = [json.loads(tool) for tool in request.tools]
    if choice := request.tool_choice:
        made["tool_choice"] = choice if choice in TOOL_CHOICES else json.loads(choice)
    if request.parallel_calls is not None:
        made["parallel_tool_calls"] = request.parallel_calls
    return made


def penalties(request: Generate) -> dict[str, float]:
    """Those that are on."""
    drawn = request.sampling
    both = {
        "presence_penalty": drawn.presence_penalty,
        "frequency_penalty": drawn.frequency_penalty,
    }
    return {name: value for name, value in both.items() if value}


def _native(request: Generate, n: int) -> dict[str, Any]:
    drawn = request.sampling
    made: dict[str, Any] = {
        "n_predict": request.max_tokens,
        "temperature": drawn.temperature,
        "top_p": drawn.top_p,
        "top_k": drawn.top_k,
        "min_p": drawn.min_p,
        "cache_prompt": True,
        "return_tokens": True,
        **penalties(request),
    }
    if n > 1:
        made["n_cmpl"] = n
    if request.logprobs >= 0:
        made["n_probs"] = max(1, request.logprobs)
    return made


def _drawing(request: Generate, sent: Sent, caps: Capabilities, n: int) -> dict[str, Any]:
    drawn = request.sampling
    cap = (
        "max_completion_tokens"
        if (caps.dialect, sent.route) == ("openai", "chat")
        else "max_tokens"
    )
    made: dict[str, Any] = {cap: request.max_tokens, "temperature": drawn.temperature}
    if caps.dialect != "openai" or drawn.top_p != 1.0:
        made["top_p"] = drawn.top_p
    made |= penalties(request)
    if caps.dialect in ("vllm", "sglang"):
        # Said even when off: the servers take other defaults from the model's own settings.
        made |= {"top_k": drawn.top_k or -1, "min_p": drawn.min_p}
    if n > 1:
        made["n"] = n
    if request.logprobs >= 0:
        if sent.route == "chat":
            made |= {"logprobs": True, "top_logprobs": request.logprobs}
        else:
            made["logprobs"] = request.logprobs
    if caps.token_ids_out and caps.dialect in ("vllm", "sglang"):
        made["return_token_ids"] = True
    return made


def _constrained(constraint: Constraint, route: Route, caps: Capabilities) -> dict[str, Any]:
    match constraint:
        case JsonSchema():
            return _json(constraint.schema, route, caps)
        case Choice():
            if caps.dialect == "vllm":
                return {"structured_outputs": {"choice": list(constraint.options)}}
            if caps.dialect == "sglang":
                return {"regex": "(" + "|".join(map(_literal, constraint.options)) + ")"}
            return {"grammar": choice_grammar(constraint.options)}
        case Grammar():
            if caps.dialect == "vllm":
                return {"structured_outputs": {"grammar": constraint.gbnf}}
            return {("ebnf" if caps.dialect == "sglang" else "grammar"): constraint.gbnf}
        case Regex():
            if caps.dialect == "vllm":
                return {"structured_outputs": {"regex": constraint.pattern}}
            return {"regex": constraint.pattern}


def _json(schema: str, route: Route, caps: Capabilities) -> dict[str, Any]:
    held = _parsed(schema)
    if caps.dialect == "vllm":
        return {"structured_outputs": {"json": held}}
    if route == "native":
        return {"json_schema": held}
    if caps.dialect == "sglang" and route == "completions":
        return {"json_schema": schema}
    if schema == ANY_JSON:  # where it is strict, a schema must name every member
        return {"response_format": {"type": "json_object"}}
    named = {"name": "answer", "schema": held, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": named}}


def choice_grammar(options: tuple[str, ...]) -> str:
    r"""A GBNF grammar of exactly these strings.

    >>> choice_grammar(("yes", 'a "b"'))
    'root ::= "yes" | "a \\"b\\""'
    """
    return "root ::= " + " | ".join(f'"{_quoted(option)}"' for option in options)


def _quoted(text: str) -> str:
    named = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "".join(named.get(c, c) for c in text)


def _literal(text: str) -> str:
    return "".join("\\" + c if c in r"\.^$*+?{}[]|()" else c for c in text)


def _parsed(schema: str) -> Any:
    try:
        return json.loads(schema)
    except ValueError:
        pass
    raise Failed("the JSON schema that was asked for is not JSON; correct it", "unsupported")


def violation(request: Generate, text: str) -> str:
    """How a finished output breaks the constraint that was sent with it; empty if it does not."""
    match request.constraint:
        case Choice(options) if text not in options:
            return f"{text[:40]!r} is none of the {len(options)} choices"
        case JsonSchema():
            try:
                json.loads(text)
            except (ValueError, RecursionError):
                return f"{text[:40]!r} is not JSON"
        case _:
            pass
    return ""


def folded_seed(seed: int, caps: Capabilities) -> int:
    """The seed as this server can take it.

    llama.cpp clamps seeds to 32 bits, and the largest of them means a random one.
    """
    return seed % (2**32 - 1) if caps.dialect == "llamacpp" else seed
