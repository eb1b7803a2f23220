"""The engine: what llama.cpp is asked, and what its answers cost."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import aclosing
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.needs import lacking
from cogitate.core.protocols import Emit, Limits, silent
from cogitate.core.requests import (
    Completion,
    Constraint,
    Generate,
    Likelihood,
    Loglikelihood,
    Reply,
    Request,
)
from cogitate.core.until import tokens_read
from cogitate.core.usage import Usage
from cogitate.engines.checksums import sha256_of, verify

from .constraints import grammar_of, not_enforced
from .drafts import Draft
from .header import read_header
from .native import Native, Settings, cores, in_thread
from .prompts import Ids, Post, Prompts
from .scoring import forced_tokens, is_enforced, likelihoods

if TYPE_CHECKING:
    import aiohttp

SERVES: Final[frozenset[type[Request[Any]]]] = frozenset({Generate, Loglikelihood})
SEEDS: Final = 0xFFFF_0000
"""llama.cpp's seeds have 32 bits, siblings count up from the first, and the last one means random."""


class LlamaCpp:
    """A GGUF model in this process.

    Siblings in one batch become one request whose prompt is processed once. The model is loaded at
    the first `serve`, or by `load`.

    Args:
        path: the GGUF file.
        slots: sequences decoded together, and the most siblings in one request.
        context: tokens of KV cache, shared by all slots.
        threads: None: one for each core this process may use.
        gpu_layers: layers put on an accelerator, where this build of llama.cpp has one; -1: all.
        template: a chat template in place of the model's own.
        sha256: what the file must be; empty: anything.
        coalesce: whether siblings share one request; for measuring.

    Raises:
        Failed: when there is no such file.
        InvalidInput: when it is no model, or another one than asked for.

    >>> LlamaCpp(Path("nowhere.gguf"))
    Traceback (most recent call last):
    cogitate.core.errors.Failed: the model file nowhere.gguf is not there; `cogitate models pull smollm2` fetches the small one
    """

    def __init__(
        self,
        path: Path,
        *,
        slots: int = 16,
        context: int = 16_384,
        threads: int | None = None,
        gpu_layers: int = -1,
        template: str = "",
        sha256: str = "",
        coalesce: bool = True,
    ) -> None:
        if slots < 1 or context < 64 or (threads is not None and threads < 1):
            raise InvalidInput(
                f"llama.cpp was asked for {slots} slots, a context of {context} and {threads} threads; "
                "it needs at least 1 slot, 64 tokens and 1 thread"
            )
        self._header = read_header(path)
        if sha256:
            verify(path, sha256)
        self._path, self._sha256, self._template = path, sha256, template
        self._slots, self._coalesce = slots, coalesce
        self._fingerprint = ""
        self._enforced: dict[str, bool] = {}
        self._prompts = Prompts(self._header)
        self._native = Native(
            Settings(path, slots, context, threads or cores(), gpu_layers, template)
        )

    @property
    def serves(self) -> frozenset[type[Request[Any]]]:
        """`Generate` and `Loglikelihood`."""
        return SERVES

    @property
    def limits(self) -> Limits:
        """As many requests as slots in one batch, related or not."""
        return Limits(concurrency=self._slots, max_batch=self._slots, linger_s=0.005, mixed=True)

    @property
    def fingerprint(self) -> str:
        """Version of the library, hash of the file, and of the template where it is not the file's."""
        if not self._fingerprint:
            digest = self._sha256 or sha256_of(self._path)
            try:
                version = metadata.version("xllamacpp")
            except metadata.PackageNotFoundError:
                version = "absent"
            other = (
                hashlib.sha256(self._template.encode()).hexdigest()[:8] if self._template else ""
            )
            self._fingerprint = f"llamacpp-{version}-{digest[:16]}{'-' + other if other else ''}"
        return self._fingerprint

    def load(self) -> None:
        """Load the model now; blocks for about a second.

        Raises:
            InvalidInput: when `xllamacpp` is not installed.
            Failed: when the file cannot be loaded.
        """
        self._native.open()

    async def close(self) -> None:
        """Stop what runs, free the model and end its threads; may be called twice."""
        await self._native.close()

    def ceiling(self, request: Request[Any]) -> Usage:
        """The most that serving this can cost; exact in prompt tokens once the prompt was seen."""
        match request:
            case Generate():
                return self._usage(self._most_tokens(request), 0, request.max_tokens)
            case Loglikelihood():
                each = self._most_tokens(request)
                text = sum(len(c.encode("utf-8", "surrogatepass")) for c in request.continuations)
                return self._usage((1 + len(request.continuations)) * each + text, 0, 0)
            case _:
                return Usage(calls=1, flops=None, bytes_moved=None)

    def _most_tokens(self, request: Generate | Loglikelihood) -> int:
        known = self._prompts.known(request.prompt)
        if known is not None:
            return len(known)
        template = self._template or self._header.template
        return request.prompt.size + len(template) + 64 * request.prompt.depth

    def _usage(self, tokens_in: int, cached: int, tokens_out: int) -> Usage:
        worked = tokens_in - cached + tokens_out
        return Usage(
            tokens_in=tokens_in,
            tokens_cached=cached,
            tokens_out=tokens_out,
            calls=1,
            flops=2.0 * self._header.parameters * worked,
            bytes_moved=None,
        )

    # -------------------------------------------------------------------------------- serving

    async def serve(
        self, batch: Sequence[Request[Any]], emit: Emit = silent
    ) -> Sequence[Reply[Any] | Failed]:
        """Answer each request, in order; siblings share one prompt. Cancelling frees the slots."""
        replies: list[Reply[Any] | Failed] = [
            Failed(
                f"llama.cpp serves Generate and Loglikelihood, not {type(r).__name__}", "unserved"
            )
            for r in batch
        ]
        try:
            await self._native.ready()
            await in_thread(lambda: self.fingerprint)
        except (Failed, InvalidInput) as error:
            return [_as_failed(error) for _ in batch]
        async with self._native.session() as http, asyncio.TaskGroup() as tasks:
            for group in groups(batch, self._slots if self._coalesce else 1):
                tasks.create_task(self._answer(http, batch, group, emit, replies))
        return replies

    async def _answer(
        self,
        http: aiohttp.ClientSession,
        batch: Sequence[Request[Any]],
        group: list[int],
        emit: Emit,
        replies: list[Reply[Any] | Failed],
    ) -> None:
        import aiohttp

        async def post(path: str, body: dict[str, Any]) -> Any:
            return await self._native.post(http, path, body)

        try:
            first = batch[group[0]]
            if isinstance(first, Loglikelihood):
                replies[group[0]] = await self._score(post, first)
            elif isinstance(first, Generate):
                siblings = [cast(Generate, batch[place]) for place in group]
                answers = await self._generate(
                    http, post, siblings, lambda index, text: emit(group[index], text)
                )
                for place, answer in zip(group, answers, strict=True):
                    replies[place] = answer
        except (Failed, InvalidInput) as error:
            for place in group:
                replies[place] = _as_failed(error)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            for place in group:
                replies[place] = Failed(
                    f"llama.cpp answered in a form that is not known ({error!r:.80})", "malformed"
                )
        except (aiohttp.ClientError, OSError) as error:
            for place in group:
                replies[place] = Failed(
                    f"llama.cpp stopped answering ({type(error).__name__}); the engine was closed or crashed",
                    "crashed",
                )

    async def _generate(
        self, http: aiohttp.ClientSession, post: Post, siblings: list[Generate], emit: Emit
    ) -> list[Reply[Completion] | Failed]:
        first = siblings[0]
        if first.max_tokens < 1:
            raise Failed(f"max_tokens is {first.max_tokens}; ask for at least one token", "refused")
        if refusal := lacking(first):
            raise Failed(refusal, "unsupported")
        ids = await self._prompts.ids(post, first.prompt)
        body = asked(first, ids, len(siblings))
        if first.constraint is not None:
            body["grammar"] = await self._grammar(post, first.constraint)
        drafts = [Draft(request) for request in siblings]
        async with aclosing(self._native.stream(http, body)) as chunks:
            async for chunk in chunks:
                place = int(chunk["index"])
                if piece := drafts[place].add(chunk):
                    emit(place, piece)
                if all(draft.finish for draft in drafts):
                    break
        seed = int(body["seed"]) if len(siblings) > 1 else None
        return [
            await self._reply(post, ids, place, draft, seed) for place, draft in enumerate(drafts)
        ]

    async def _reply(
        self, post: Post, prompt: Ids, place: int, draft: Draft, seed: int | None
    ) -> Reply[Completion] | Failed:
        # a sibling's prompt is copied by reference from the first one's, whatever the server counts
        cached = draft.evaluated if place else draft.cached
        usage = self._usage(draft.evaluated, cached, draft.predicted)
        if draft.finish is None:
            return Failed("llama.cpp broke off in the middle of an answer", "cut", usage=usage)
        ids, whole = await self._whole_ids(post, draft)
        logprobs, top = tuple(draft.logprobs), tuple(draft.top)
        if draft.request.logprobs >= 0 and draft.gaps:
            if not whole:
                return Failed(
                    "llama.cpp lost the log-probabilities of some tokens", "malformed", usage=usage
                )
            seen = await forced_tokens(post, prompt, ids, draft.request.logprobs)
            logprobs, top = seen.logprobs, seen.top
        if ids and (draft.finish in ("stop", "until") or draft.stopped_by):
            ids = await self._prompts.spelt(post, draft.text, ids)
        value = Completion(
            text=draft.text,
            finish=draft.finish,
            stopped_by=draft.stopped_by,
            tokens=draft.counted,
            ids=ids,
            logprobs=logprobs,
            words=() if draft.gaps else tuple(draft.words),
            top=top,
        )
        return Reply(
            value,
            usage,
            engine=self.fingerprint,
            seed=None if seed is None else seed + place,
            index=None if seed is None else place,
        )

    async def _whole_ids(self, post: Post, draft: Draft) -> tuple[Ids, bool]:
        """The ids with the swallowed ones put back; none where they cannot be known."""
        ids: list[int] = list(draft.ids)
        for position, piece, came, missing in reversed(draft.gaps):
            again = await self._prompts.tokenise(post, piece)
            head = again[:missing]
            if len(again) != missing + len(came) or again[missing:] != came:
                return (), False
            ids[position:position] = head
        return tuple(ids), True

    async def _grammar(self, post: Post, constraint: Constraint) -> str:
        grammar = grammar_of(constraint)
        if grammar not in self._enforced:
            self._enforced[grammar] = await is_enforced(post, self._prompts, constraint)
        if not self._enforced[grammar]:
            raise not_enforced(constraint)
        return grammar

    async def _score(self, post: Post, request: Loglikelihood) -> Reply[tuple[Likelihood, ...]]:
        prompt = await self._prompts.ids(post, request.prompt)
        found, tokens_in, cached = await likelihoods(post, self._prompts, prompt, request)
        return Reply(found, self._usage(tokens_in, cached, 0), engine=self.fingerprint)


def asked(request: Generate, ids: Ids, siblings: int) -> dict[str, Any]:
    """The body of a completion: every setting said, so that no default of the server's applies."""
    body: dict[str, Any] = {
        "prompt": list(ids),
        "n_predict": request.max_tokens,
        "seed": request.seed % SEEDS,
        "stop": [stop for stop in request.stop if stop],
        "samplers": ["temperature", "top_k", "top_p", "min_p"],
        "temperature": request.sampling.temperature,
        "top_k": request.sampling.top_k,
        "top_p": request.sampling.top_p,
        "min_p": request.sampling.min_p,
        "return_tokens": True,
        "timings_per_token": bool(request.until),
    }
    if siblings > 1:
        body["n_cmpl"] = siblings
    if request.logprobs >= 0:
        body["n_probs"] = max(1, request.logprobs)
    return body


def groups(batch: Sequence[Request[Any]], most: int) -> list[list[int]]:
    """Places of the batch, siblings together, at most so many in a group."""
    found: list[list[int]] = []
    growing: dict[str, list[int]] = {}
    for place, request in enumerate(batch):
        # One that may be given up is asked for alone: siblings end all together.
        shared = isinstance(request, Generate) and not tokens_read(request.until)
        key = request.sibling_key() if shared else ""
        group = growing.get(key) if key else None
        if group is None or len(group) >= most:
            group = list[int]()
            found.append(group)
            growing[key] = group
        group.append(place)
    return found


def _as_failed(error: Failed | InvalidInput) -> Failed:
    return error if isinstance(error, Failed) else Failed(str(error), "refused")
