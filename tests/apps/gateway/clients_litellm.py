"""LiteLLM as a client of a gateway: `python clients_litellm.py URL MODEL...` says `conforms` for each model."""

from __future__ import annotations

import asyncio
import json
import sys

import litellm
from clients_upstream import CITY, WORDS
from pydantic import BaseModel

QUESTION = [{"role": "user", "content": "Say something about oaks."}]
OAKS = "".join(WORDS)
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


class City(BaseModel):
    name: str
    people: int


def asked(model, url, **more):
    named = {"model": f"openai/{model}", "messages": QUESTION, "num_retries": 0}
    return named | {"api_base": url, "api_key": "none"} | more


def check(model, url):
    reply = litellm.completion(**asked(model, url, temperature=0.5, seed=3))
    assert reply.choices[0].message.content == OAKS, reply
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens > 0
    options = {"stream": True, "stream_options": {"include_usage": True}}
    pieces = list(litellm.completion(**asked(model, url, **options)))
    assert "".join(p.choices[0].delta.content or "" for p in pieces if p.choices) == OAKS
    assert pieces[-1].usage.completion_tokens > 0
    # Else it looks for tools of servers, for which it needs a package that is not its own.
    tools = {"tools": [TOOL], "_skip_mcp_handler": True}
    called = litellm.completion(**asked(model, url, **tools)).choices[0]
    assert called.finish_reason == "tool_calls"
    assert json.loads(called.message.tool_calls[0].function.arguments) == {"city": "Oslo"}
    parsed = litellm.completion(**asked(model, url, response_format=City)).choices[0].message
    assert City.model_validate_json(parsed.content) == City(**CITY)

    async def together():
        return await asyncio.gather(*(litellm.acompletion(**asked(model, url)) for _ in range(4)))

    assert {reply.choices[0].message.content for reply in asyncio.run(together())} == {OAKS}
    print("conforms")


def check_errors(url):
    for error, more in (
        (litellm.NotFoundError, {"model": "openai/nobody"}),
        (litellm.BadRequestError, {"model": "openai/best_of(n=2)@up", "temperature": 9}),
    ):
        try:
            litellm.completion(**asked("up", url) | more)
        except error:
            continue
        raise AssertionError(f"{error.__name__} was expected")


if __name__ == "__main__":
    for name in sys.argv[2:]:
        check(name, sys.argv[1])
    check_errors(sys.argv[1])
