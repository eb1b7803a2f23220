"""A server that does what OpenAI's documentation says, for tests of clients: n, stop, seeds, tools, streams."""

from __future__ import annotations

import asyncio
import json

from aiohttp import web

STEPS = ("Seventeen and five make 22.\n\n", "Add the twenty: 42.\n\n", "\\boxed{42}")
CITY = {"name": "Oslo", "people": 700_000}
WORDS = ("Oaks", " are", " old", " trees", ".")


def text_of(body):
    """What this model says to a request."""
    messages = body["messages"]
    whole = " ".join(str(m.get("content")) for m in messages)
    if "You grade answers" in whole:
        return "It is on its way.\n\nScore: 7"
    if body.get("response_format", {}).get("type") in ("json_schema", "json_object"):
        return json.dumps(CITY)
    if "17 + 25" in whole:
        begun = "".join(str(m.get("content")) for m in messages if m["role"] == "assistant")
        return "".join(s for s in STEPS if s.strip() not in begun) or "".join(STEPS)
    if messages[-1]["role"] == "tool":
        return f"The tool says {messages[-1]['content']}."
    return "".join(WORDS)


def calls_of(body):
    """The tools that it calls; none where it was answered or forbidden."""
    choice = body.get("tool_choice", "auto")
    if not body.get("tools") or choice == "none" or body["messages"][-1]["role"] == "tool":
        return []
    names = [tool["function"]["name"] for tool in body["tools"]]
    if isinstance(choice, dict):
        names = [choice["function"]["name"]]
    many = body.get("parallel_tool_calls", True) and "both" in str(body["messages"][-1]["content"])
    cities = ("Oslo", "Rome") if many else ("Oslo",)
    return [
        {
            "id": f"call_{at}",
            "type": "function",
            "function": {"name": names[0], "arguments": json.dumps({"city": city})},
        }
        for at, city in enumerate(cities)
    ]


def cut(text, stop):
    for end in [stop] if isinstance(stop, str) else stop or ():
        text = text.partition(end)[0]
    return text


def logprobs_of(text, body):
    if not body.get("logprobs"):
        return None
    words = text.split(" ")
    tokens = [word if not at else " " + word for at, word in enumerate(words)]
    top = body.get("top_logprobs", 0)
    return {
        "content": [
            {"token": t, "logprob": -0.25, "bytes": list(t.encode())}
            | {"top_logprobs": [{"token": t, "logprob": -0.25, "bytes": None}][:top]}
            for t in tokens
        ],
        "refusal": None,
    }


class Model:
    """Answers; `before` may say otherwise first. Remembers nothing: the upstream does."""

    def __init__(self):
        self.before = None
        self.pause_s = 0.0

    async def __call__(self, body, request):
        if self.before is not None:
            said = self.before(body, request)
            said = await said if asyncio.iscoroutine(said) else said
            if said is not None:
                return said
        if "messages" not in body:
            return self.older(body)
        text, calls = text_of(body), calls_of(body)
        seed, count = body.get("seed") or 0, body.get("n") or 1
        differ = "differently" in str(body["messages"][-1]["content"])
        starts = [f"{seed + at}: " if differ else "" for at in range(count)]
        texts = [cut(start + text, body.get("stop")) for start in starts]
        if body.get("stream"):
            return await self.stream(body, request, texts, calls)
        message = {"tool_calls": calls, "content": None} if calls else {}
        return outer(
            "chat.completion",
            [
                {
                    "index": at,
                    "message": {"role": "assistant", "content": said, "refusal": None} | message,
                    "logprobs": logprobs_of(said, body),
                    "finish_reason": "tool_calls" if calls else "stop",
                }
                for at, said in enumerate(texts)
            ],
            usage(body, texts),
        )

    def older(self, body):
        choice = {"index": 0, "text": "".join(WORDS), "logprobs": None, "finish_reason": "stop"}
        return outer("text_completion", [choice], usage(body, ["".join(WORDS)]))

    async def stream(self, body, request, texts, calls):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)

        async def say(choices, **more):
            await response.write(b"data: " + dumped(choices, **more) + b"\n\n")

        def dumped(choices, **more):
            return json.dumps(outer("chat.completion.chunk", choices, **more)).encode()

        for at, text in enumerate(texts):
            said = {"role": "assistant", "content": None if calls else ""}
            await say([choice(at, said)])
            for index, call in enumerate(calls):
                called = call["function"]
                begun = call | {"index": index, "function": called | {"arguments": ""}}
                await say([choice(at, {"tool_calls": [begun]})])
                for half in (called["arguments"][:5], called["arguments"][5:]):
                    piece = {"index": index, "function": {"arguments": half}}
                    await say([choice(at, {"tool_calls": [piece]})])
            if not calls:
                for word in text.split(" "):
                    word = word if word == text.split(" ")[0] else " " + word
                    await say([choice(at, {"content": word}, logprobs=logprobs_of(word, body))])
                    await asyncio.sleep(self.pause_s)
            await say([choice(at, {}, end="tool_calls" if calls else "stop")])
        if (body.get("stream_options") or {}).get("include_usage"):
            await say([], usage=usage(body, texts))
        await response.write(b"data: [DONE]\n\n")
        return response


def choice(index, delta, *, end=None, logprobs=None):
    return {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": end}


def outer(kind, choices, usage=None):
    value = {"id": "up-1", "object": kind, "created": 1, "model": "up-model", "choices": choices}
    return value if usage is None else value | {"usage": usage}


def usage(body, texts):
    sent = len(json.dumps(body.get("messages", body.get("prompt"))).split())
    out = sum(len(text.split()) for text in texts)
    return {
        "prompt_tokens": sent,
        "completion_tokens": out,
        "total_tokens": sent + out,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }
