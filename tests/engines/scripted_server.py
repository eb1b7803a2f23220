"""A loopback server with a deterministic toy language model: the capability matrix by flags, and faults.

The model's next token depends on the ids before it and on nothing else, so that a text tokenised
again at a seam is continued differently. It counts: after `3,` comes ` 4,`, after `9` the end.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

MERGES = ("ab", "abc", "cd", "yes", "no", "maybe", "zq7", "the ", ". ")
CHARACTERS = 'abcdefghijklmnopqrstuvwxyz0123456789 ,.\n"{}:'
VOCABULARY = ("<|end|>", *MERGES, *CHARACTERS)
END = 0
OTHER = 10_000
TEMPLATE_END = "\n<|assistant|>"


def tokenize(text):
    """Greedy longest match; a character out of the vocabulary is its own id."""
    ids, at = [], 0
    while at < len(text):
        best = max((w for w in VOCABULARY if text.startswith(w, at)), key=len, default="")
        if best:
            ids.append(VOCABULARY.index(best))
            at += len(best)
        else:
            ids.append(OTHER + ord(text[at]))
            at += 1
    return ids


def piece(token):
    return VOCABULARY[token] if token < OTHER else chr(token - OTHER)


def detokenize(ids):
    return "".join(piece(i) for i in ids)


def render(messages, begun=""):
    turns = "".join(f"\n<|{m['role']}|>{m['content']}" for m in messages)
    return turns + TEMPLATE_END + begun


def _number(*parts):
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=6).digest(), "big")


def _wanted(text):
    if text.endswith(TEMPLATE_END) and "Count" in text:
        return "1"
    if re.search(r"\b9$", text):
        return "<|end|>"
    if re.search(r"\b\d$", text):
        return ","
    if re.search(r"\b\d,$", text):
        return " "
    if found := re.search(r"\b(\d), $", text):
        return str(int(found.group(1)) + 1)
    return ""


def distribution(ids):
    """Log-probability of every token of the vocabulary after these ids."""
    tail = tuple(ids[-6:])
    wanted = _wanted(detokenize(ids[-400:]))
    scores = [
        _number(tail, token) % 1000 / 120 + (30 if VOCABULARY[token] == wanted else 0)
        for token in range(len(VOCABULARY))
    ]
    highest = max(scores)
    total = highest + math.log(sum(math.exp(s - highest) for s in scores))
    return [score - total for score in scores]


def choose(ids, seed, temperature):
    logprobs = distribution(ids)
    if temperature == 0:
        return max(range(len(logprobs)), key=lambda i: logprobs[i])
    noise = [
        (_number(tuple(ids[-6:]), seed, i) % 99_991 + 1) / 99_993 for i in range(len(logprobs))
    ]
    drawn = [
        lp / temperature - math.log(-math.log(u)) for lp, u in zip(logprobs, noise, strict=True)
    ]
    return max(range(len(drawn)), key=lambda i: drawn[i])


@dataclass
class Behaviour:
    """What the server does; each flag is one cell of the matrix. `yes`, `ignored` or `rejected`."""

    dialect: str = "vllm"
    model: str = "toy"
    n: str = "yes"
    max_n: int = 64
    logprobs: str = "yes"
    echo: str = "yes"
    completions: bool = True
    ids: bool = True
    ids_out: bool = True
    tokenizer: bool = True
    renders: bool = True
    prefill: str = "flag"
    """flag, implicit, implicit_echo, none"""
    stops: str = "reported"
    """reported or trimmed (and not told)"""
    constraints: str = "yes"
    tools: str = "yes"
    usage: str = "openai"
    """openai, responses, deepseek, none"""
    stream_usage: bool = True
    cached: bool = True
    embeddings: bool = True
    key: str = ""
    reasoning: str = ""
    """The field in which hidden reasoning is filed; empty: none."""
    fault: str = ""
    fault_headers: dict = field(default_factory=dict)
    fault_body: str = '{"error": {"message": "no"}}'
    context: int = 100_000
    delay_s: float = 0.0
    drops_streams: bool = False
    """Close the connection after each stream without saying so, as llama.cpp's server does."""


@dataclass
class Generated:
    ids: list
    text: str
    finish: str
    stopped_by: str = ""
    logprobs: list = field(default_factory=list)
    tops: list = field(default_factory=list)


class Server:
    """The running server: what it was asked and what it saw."""

    def __init__(self, behaviour):
        self.does = behaviour
        self.seen = []
        self.disconnects = 0
        self.cached = {}
        self.reported = []

    @property
    def bodies(self):
        return [body for path, body, _ in self.seen if "complet" in path and body is not None]

    # --------------------------------------------------------------------------- the model

    def generate(self, ids, body, seed, stops):
        cap = body.get("max_tokens", body.get("max_completion_tokens", body.get("n_predict", 16)))
        temperature = body.get("temperature", 1.0)
        forced = self._forced(body)
        plan = None if forced is None else [*tokenize(forced), END]
        made = Generated([], "", "length")
        while len(made.ids) < cap:
            context = [*ids, *made.ids]
            token = choose(context, seed, temperature) if plan is None else plan[len(made.ids)]
            logprobs = distribution(context)
            made.ids.append(token)
            made.logprobs.append(logprobs[token] if token < OTHER else -9.0)
            order = sorted(range(len(logprobs)), key=lambda i: -logprobs[i])
            made.tops.append([(i, logprobs[i]) for i in order])
            if token == END:
                made.finish = "stop"
                return made
            made.text += piece(token)
            for stop in stops:
                if (at := made.text.find(stop)) >= 0:
                    made.text = made.text[: at + len(stop)]
                    made.finish, made.stopped_by = "stop", stop
                    return made
        return made

    def _forced(self, body):
        """What a constraint makes of the output; `None` where it is free."""
        if self.does.constraints != "yes":
            return None
        outputs = body.get("structured_outputs") or {}
        schema = outputs.get("json") or body.get("json_schema")
        if isinstance(schema, str):
            schema = json.loads(schema)
        if wanted := body.get("response_format"):
            schema = wanted["json_schema"]["schema"]
        if schema is not None:
            return json.dumps(schema["enum"][0]) if "enum" in schema else '{"a": 1}'
        if "choice" in outputs:
            return outputs["choice"][-1]
        pattern = outputs.get("regex") or body.get("regex")
        if pattern:
            return re.sub(r"\\(.)", r"\1", pattern.strip("()").split("|")[-1])
        grammar = outputs.get("grammar") or body.get("ebnf") or body.get("grammar")
        return None if not grammar else json.loads(grammar.split("::=")[1].split(" | ")[-1])

    # ------------------------------------------------------------------------------ replies

    def usage(self, prompt, generated):
        known = 0
        for n in range(len(prompt), 0, -1):
            if self.cached.get(tuple(prompt[:n])):
                known = min(n, len(prompt) - 1)
                break
        for n in range(1, len(prompt) + 1):
            self.cached[tuple(prompt[:n])] = True
        out = sum(len(g.ids) for g in generated)
        if self.does.fault == "lying":
            out *= 50
        self.reported.append((len(prompt), out))
        match self.does.usage:
            case "responses":
                return {
                    "input_tokens": len(prompt),
                    "output_tokens": out,
                    "input_tokens_details": {"cached_tokens": known},
                    "output_tokens_details": {"reasoning_tokens": 2 if self.does.reasoning else 0},
                }
            case "deepseek":
                return {
                    "prompt_tokens": len(prompt),
                    "completion_tokens": out,
                    "prompt_cache_hit_tokens": known,
                }
            case "none":
                return None
        usage = {"prompt_tokens": len(prompt), "completion_tokens": out}
        if self.does.cached:
            usage["prompt_tokens_details"] = {"cached_tokens": known}
        if self.does.reasoning:
            usage["completion_tokens_details"] = {"reasoning_tokens": 2}
        return usage

    def stop_fields(self, made):
        name = {"vllm": "stop_reason", "sglang": "matched_stop"}.get(self.does.dialect)
        if not name or self.does.stops != "reported":
            return {}
        return {name: made.stopped_by or None}

    def shown(self, made, body):
        """The text as this server shows it: the stop string kept only where that was asked for."""
        keeps = body.get("include_stop_str_in_output") or body.get("no_stop_trim")
        if made.stopped_by and not (keeps and self.does.stops == "reported"):
            return made.text.removesuffix(made.stopped_by)
        return made.text


async def _completions(request):
    return await _openai(request, chat=False)


async def _chat(request):
    return await _openai(request, chat=True)


async def _openai(request, *, chat):
    server, body = await _received(request)
    does = server.does
    if faulty := await _fault(request, server):
        return faulty
    if not chat and not does.completions:
        return _error(404, "not found")
    if body.get("model") != does.model:
        return _error(404, f"The model {body.get('model')} does not exist", type="model_not_found")
    n = body.get("n", 1)
    asks = {
        "n": n > 1 and does.n,
        "logprobs": body.get("logprobs") not in (None, False) and does.logprobs,
        "echo": body.get("echo") and does.echo,
        "constraint": _constrained(body) and does.constraints,
        "tools": "tools" in body and does.tools,
    }
    for name, how in asks.items():
        if how == "rejected":
            return _error(400, f"{name} is not supported")
    if n > does.max_n:
        return _error(400, f"n must be at most {does.max_n}")
    n = 1 if asks["n"] == "ignored" else n
    prompt, refused = _prompt(server, body, chat)
    if refused is not None:
        return refused
    if len(prompt) > does.context:
        return _error(400, f"This model's maximum context length is {does.context} tokens")
    stops = body.get("stop") or []
    made = [server.generate(prompt, body, body.get("seed", 0) + i, stops) for i in range(n)]
    if body.get("stream"):
        return await _stream(request, server, body, prompt, made, chat)
    choices = [_whole(server, body, prompt, g, i, chat, asks) for i, g in enumerate(made)]
    if does.fault == "empty_choices":
        choices = []
    reply = {"id": "x", "object": "chat.completion", "choices": choices}
    if (usage := server.usage(prompt, made)) is not None:
        reply["usage"] = usage
    return web.json_response(reply)


def _constrained(body):
    names = ("structured_outputs", "response_format", "regex", "ebnf", "grammar", "json_schema")
    return any(name in body for name in names)


def _prompt(server, body, chat):
    does = server.does
    if not chat:
        given = body["prompt"]
        if isinstance(given, list):
            return (given, None) if does.ids else (None, _error(400, "prompt must be a string"))
        return tokenize(given), None
    messages = body["messages"]
    begun = ""
    if messages[-1]["role"] == "assistant":
        continues = does.prefill in ("implicit", "implicit_echo") or (
            does.prefill == "flag" and body.get("continue_final_message")
        )
        if continues:
            *messages, last = messages
            begun = last["content"]
    return tokenize(render(messages, begun)), None


def _whole(server, body, prompt, made, index, chat, asks):
    text = server.shown(made, body)
    choice = {"index": index, "finish_reason": made.finish, **server.stop_fields(made)}
    if server.does.ids_out and body.get("return_token_ids"):
        choice["token_ids"] = made.ids
    if chat:
        if server.does.prefill == "implicit_echo" and body["messages"][-1]["role"] == "assistant":
            text = body["messages"][-1]["content"] + text
        choice["message"] = {"role": "assistant", "content": text}
        if asks["tools"] == "yes":
            called = {"name": body["tools"][0]["function"]["name"], "arguments": "{}"}
            choice["message"]["tool_calls"] = [{"id": "c1", "type": "function", "function": called}]
        if server.does.reasoning:
            choice["message"][server.does.reasoning] = "hm"
        if asks["logprobs"] == "yes":
            choice["logprobs"] = _chat_logprobs(made, body.get("top_logprobs", 0))
        return choice
    given = detokenize(prompt)
    choice["text"] = given + text if asks["echo"] == "yes" else text
    if asks["logprobs"] == "yes":
        choice["logprobs"] = _old_logprobs(
            made, body["logprobs"], prompt if asks["echo"] == "yes" else []
        )
    return choice


def _chat_logprobs(made, k):
    return {
        "content": [
            {
                "token": piece(token),
                "logprob": logprob,
                "top_logprobs": [{"token": piece(t), "logprob": p} for t, p in top[:k]],
            }
            for token, logprob, top in zip(made.ids, made.logprobs, made.tops, strict=True)
        ]
    }


def _old_logprobs(made, k, prompt):
    given = [None]
    given += [
        distribution(prompt[:i])[t] if t < OTHER else -9.0 for i, t in enumerate(prompt) if i > 0
    ]
    words = [piece(t) for t in [*prompt, *made.ids]]
    offsets, at = [], 0
    for word in words:
        offsets.append(at)
        at += len(word)
    tops = [{piece(t): p for t, p in top[:k]} for top in made.tops]
    return {
        "tokens": words,
        "token_logprobs": [*(given if prompt else []), *made.logprobs],
        "top_logprobs": [*([None] * len(prompt)), *tops],
        "text_offset": offsets,
    }


async def _stream(request, server, body, prompt, made, chat):
    does = server.does
    options = body.get("stream_options") or {}
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    events = _events(server, body, made, chat)
    try:
        for count, event in enumerate(events):
            if does.fault == "hang_stream" and count == 3:
                await asyncio.sleep(30)
            if does.fault == "half_stream" and count == 3:
                request.transport.abort()
                return response
            if does.fault == "silent_end" and count == 3:
                return response
            if does.fault == "malformed_stream" and count == 3:
                await response.write(b"data: {not json\n\n")
            if does.fault == "error_event" and count == 3:
                await response.write(
                    b'data: {"error": {"message": "out of memory", "code": 503}}\n\n'
                )
                return response
            if does.delay_s:
                await asyncio.sleep(does.delay_s)
            if options.get("continuous_usage_stats") and does.stream_usage and does.usage != "none":
                event["usage"] = {"prompt_tokens": len(prompt), "completion_tokens": count}
            await response.write(b": ping\r\ndata: " + json.dumps(event).encode() + b"\r\n\r\n")
        usage = server.usage(prompt, made)
        if options.get("include_usage") and does.stream_usage and usage is not None:
            await response.write(
                b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"
            )
        await response.write(b"data: [DONE]\n\n")
        if does.drops_streams:
            await response.write_eof()
            request.transport.close()
    except (asyncio.CancelledError, ConnectionResetError):
        server.disconnects += 1
        raise
    return response


def _events(server, body, made, chat):
    """Siblings take turns, a token at a time."""
    shown = [server.shown(g, body) for g in made]
    places = [0] * len(made)
    wants = body.get("logprobs") not in (None, False) and server.does.logprobs == "yes"
    for step in range(max(len(g.ids) for g in made)):
        for index, g in enumerate(made):
            if step >= len(g.ids):
                continue
            word = "" if g.ids[step] == END else piece(g.ids[step])
            text = shown[index][places[index] : places[index] + len(word)]
            places[index] += len(text)
            last = step == len(g.ids) - 1
            choice = {"index": index, "finish_reason": g.finish if last else None}
            if last:
                choice |= server.stop_fields(g)
            choice |= {"delta": {"content": text}} if chat else {"text": text}
            if body.get("return_token_ids") and server.does.ids_out:
                choice["token_ids"] = [g.ids[step]]
            if wants:
                one = Generated([g.ids[step]], "", "", "", [g.logprobs[step]], [g.tops[step]])
                choice["logprobs"] = (
                    _chat_logprobs(one, body.get("top_logprobs", 0))
                    if chat
                    else _old_logprobs(one, body["logprobs"], [])
                )
            yield {"choices": [choice]}


# --------------------------------------------------------------------- llama.cpp's own endpoints


async def _native(request):
    server, body = await _received(request)
    if server.does.dialect != "llamacpp":
        return _error(404, "not found")
    if faulty := await _fault(request, server):
        return faulty
    given = body["prompt"]
    prompt = []
    for part in given if isinstance(given, list) else [given]:
        prompt += tokenize(part) if isinstance(part, str) else [part]
    if len(prompt) > server.does.context:
        return _error(400, "exceeds the available context size", type="exceed_context_size_error")
    n = body.get("n_cmpl", 1)
    if n > server.does.max_n:
        return _error(400, "n_cmpl must not be greater than the slots")
    stops = body.get("stop") or []
    made = [server.generate(prompt, body, body["seed"] + i, stops) for i in range(n)]
    usage = server.usage(prompt, made)
    cached = (usage or {}).get("prompt_tokens_details", {}).get("cached_tokens", 0)
    rows = [_native_row(g, i, body, len(prompt), cached) for i, g in enumerate(made)]
    if not body.get("stream"):
        return web.json_response(rows[0] if n == 1 else rows)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for i, g in enumerate(made):
        sent = ""
        shown = rows[i]["content"]
        for count, token in enumerate(g.ids, 1):
            word = shown[len(sent) : len(sent) + len(piece(token))]
            sent += word
            event = {
                "index": i,
                "content": word,
                "tokens": [token],
                "stop": False,
                "tokens_predicted": count,
                "tokens_evaluated": len(prompt),
            }
            if seen := rows[i].get("completion_probabilities"):
                event["completion_probabilities"] = [seen[count - 1]]
            await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
        last = rows[i] | {"content": "", "tokens": []}
        last.pop("completion_probabilities", None)
        await response.write(b"data: " + json.dumps(last).encode() + b"\n\n")
    return response


def _native_row(made, index, body, size, cached):
    kind = {"length": "limit"}.get(made.finish, "word" if made.stopped_by else "eos")
    row = {
        "index": index,
        "content": made.text.removesuffix(made.stopped_by) if made.stopped_by else made.text,
        "tokens": made.ids,
        "stop": True,
        "stop_type": kind,
        "stopping_word": made.stopped_by,
        "tokens_predicted": len(made.ids),
        "tokens_evaluated": size,
        "timings": {"cache_n": cached},
        "generation_settings": {"seed": body["seed"] + index},
    }
    if k := body.get("n_probs"):
        row["completion_probabilities"] = [
            {
                "id": token,
                "token": piece(token),
                "logprob": logprob,
                "top_logprobs": [{"id": t, "token": piece(t), "logprob": p} for t, p in top[:k]],
            }
            for token, logprob, top in zip(made.ids, made.logprobs, made.tops, strict=True)
        ]
    return row


async def _template(request):
    server, body = await _received(request)
    if server.does.dialect != "llamacpp":
        return _error(404, "not found")
    return web.json_response({"prompt": render(body["messages"])})


async def _tokenize(request):
    server, body = await _received(request)
    if not server.does.tokenizer:
        return _error(404, "not found")
    if server.does.dialect == "llamacpp":
        tokens = [{"id": i, "piece": piece(i)} for i in tokenize(body["content"])]
        return web.json_response({"tokens": tokens})
    if "messages" in body:
        if not server.does.renders:
            return _error(422, "prompt is required")
        ids = tokenize(render(body["messages"]))
    else:
        ids = tokenize(body["prompt"])
    reply = {"tokens": ids, "count": len(ids)}
    if body.get("return_token_strs"):
        reply["token_strs"] = [piece(i) for i in ids]
    return web.json_response(reply)


async def _detokenize(request):
    server, body = await _received(request)
    if not server.does.tokenizer:
        return _error(404, "not found")
    name = "content" if server.does.dialect == "llamacpp" else "prompt"
    return web.json_response({name: detokenize(body["tokens"])})


async def _embeddings(request):
    server, body = await _received(request)
    if not server.does.embeddings:
        return _error(501, "no embeddings here")
    rows = [
        {"index": i, "embedding": [float(len(text)), float(i), 0.5]}
        for i, text in enumerate(body["input"])
    ]
    rows.reverse()
    tokens = sum(len(tokenize(t)) for t in body["input"])
    return web.json_response(
        {"data": rows, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    )


async def _models(request):
    server, _ = await _received(request)
    owner = {"ollama": "library", "generic": "me"}.get(server.does.dialect, server.does.dialect)
    if server.does.key and request.headers.get("Authorization") != f"Bearer {server.does.key}":
        return _error(401, f"Incorrect API key provided: {request.headers.get('Authorization')}")
    return web.json_response(
        {
            "data": [
                {"id": server.does.model, "owned_by": owner, "max_model_len": server.does.context}
            ]
        }
    )


async def _version(request):
    server, _ = await _received(request)
    return (
        web.json_response({"version": "9.9"})
        if server.does.dialect == "vllm"
        else _error(404, "no")
    )


async def _props(request):
    server, _ = await _received(request)
    if server.does.dialect != "llamacpp":
        return _error(404, "not found")
    return web.json_response(
        {
            "total_slots": server.does.max_n,
            "build_info": "b1",
            "default_generation_settings": {"n_ctx": server.does.context},
        }
    )


# ------------------------------------------------------------------------------------ faults


async def _received(request):
    server = request.app[SERVER]
    body = await request.json() if request.can_read_body else None
    peer = {"X-Peer": str(request.transport.get_extra_info("peername"))}
    server.seen.append((request.path, body, dict(request.headers) | peer))
    return server, body


async def _fault(request, server):
    does = server.does
    if does.key and request.headers.get("Authorization") != f"Bearer {does.key}":
        return _error(401, f"Incorrect API key provided: {request.headers.get('Authorization')}")
    match does.fault:
        case "hang":
            try:
                await asyncio.sleep(30)
            except asyncio.CancelledError:
                server.disconnects += 1
                raise
        case "malformed":
            return web.Response(text="<html>gateway</html>", content_type="text/html")
        case "half_body":
            response = web.StreamResponse(headers={"Content-Length": "1000"})
            await response.prepare(request)
            await response.write(b'{"choices": [')
            request.transport.abort()
            return response
        case status if status.isdigit():
            return web.Response(
                status=int(status),
                text=does.fault_body,
                headers=does.fault_headers,
                content_type="application/json",
            )
    return None


def _error(status, message, **more):
    return web.json_response({"error": {"message": message, "code": status, **more}}, status=status)


SERVER = web.AppKey("server", Server)


@asynccontextmanager
async def serving(behaviour=None, **flags):
    """A running server; `server.url` is its base URL."""
    server = Server(behaviour or Behaviour(**flags))
    app = web.Application(client_max_size=64 * 1024 * 1024)
    app[SERVER] = server
    app.add_routes(
        [
            web.post("/v1/chat/completions", _chat),
            web.post("/v1/completions", _completions),
            web.post("/completion", _native),
            web.post("/apply-template", _template),
            web.post("/tokenize", _tokenize),
            web.post("/detokenize", _detokenize),
            web.post("/v1/embeddings", _embeddings),
            web.get("/v1/models", _models),
            web.get("/version", _version),
            web.get("/props", _props),
        ]
    )
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.2, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    server.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield server
    finally:
        await runner.cleanup()
