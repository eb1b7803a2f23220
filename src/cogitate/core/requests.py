"""The questions a flow may ask the world; each class owns the codec of its reply."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Generator
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Final, Generic, Literal, TypeVar, cast, get_args

from .codec import decode, encode
from .prompt import Prompt
from .task import ToolCall
from .until import Until
from .usage import ZERO, Usage

R = TypeVar("R")
Json = Any
"""A JSON value: None, bool, int, float, str, tuples and mappings of these."""

DEFAULT_MAX_TOKENS = 1024


@dataclass(frozen=True)
class Reply(Generic[R]):
    """What an engine says to one request, and what it cost."""

    value: R
    usage: Usage = ZERO
    seconds: float = 0.0
    """Wall-clock of the call; journaled apart from the reply, so that journals can be compared."""
    engine: str = ""
    """Fingerprint of what served it."""
    seed: int | None = None
    """The seed the engine really used, where it was not the request's own (coalesced siblings)."""
    index: int | None = None
    """The place among coalesced siblings."""
    trimmed: int | None = None
    """The smaller `max_tokens` under which it was served, where the grant was nearly spent."""
    cached: bool = False
    """Whether it was read from a cache: charged against the grant, and paid for before."""


@dataclass(frozen=True)
class Request(Generic[R]):
    """One question; awaiting it inside a flow hands it to whoever drives the flow."""

    reply_type: ClassVar[Any] = Any
    role = ""  # no annotation: a ClassVar here would become the first field of every subclass

    def __await__(self) -> Generator[Any, Any, R]:
        return cast(R, (yield self))

    def body(self) -> dict[str, Json]:
        """The request as JSON values; a prompt is its digest."""
        return cast(dict[str, Json], encode(self))

    def key(self) -> str:
        """Digest of the request: 24 hexadecimal digits, stable across processes and versions of Python."""
        known = self.__dict__.get("_key")
        if known is None:
            known = _digest(type(self).__name__, self._said())
            object.__setattr__(self, "_key", known)
        return cast(str, known)

    def _said(self) -> str:
        """What the digest takes in."""
        return _to_json(self.body())

    def sibling_key(self) -> str:
        """Digest without the seed: requests that share it may be served as one with `n` samples."""
        known = self.__dict__.get("_sibling_key")
        if known is None:
            body = {k: v for k, v in self.body().items() if k != "seed"}
            known = _digest(type(self).__name__, _to_json(body))
            object.__setattr__(self, "_sibling_key", known)
        return cast(str, known)

    def encode(self, reply: R) -> Json:
        """The reply as JSON values."""
        return encode(reply)

    def decode(self, raw: Json) -> R:
        """The inverse of `encode`."""
        return cast(R, decode(self.reply_type, raw))

    @classmethod
    def from_body(cls, raw: dict[str, Json], prompts: dict[str, Prompt]) -> Request[R]:
        """Rebuild a request from `body`, given its prompts by digest."""
        from .codec import decoder

        hints = {f.name: _hint(cls, f.name) for f in fields(cls)}
        values = {
            k: prompts[v] if hints[k] is Prompt else decoder(hints[k])(v) for k, v in raw.items()
        }
        return cls(**values)


def _hint(cls: type, name: str) -> Any:
    import typing

    return typing.get_type_hints(cls)[name]


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), sort_keys=True).encode


def _digest(name: str, said: str) -> str:
    text = f"{name} {said}"
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


# ------------------------------------------------------------------------------------- Generate


_FRACTIONS = ("temperature", "top_p", "min_p", "presence_penalty", "frequency_penalty")


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are drawn. Temperature 0 is greedy."""

    temperature: float = 0.7
    top_p: float = 1.0
    top_k: int = 0
    """0: off."""
    min_p: float = 0.0
    presence_penalty: float = 0.0
    """Need, off at 0: taken from the log-odds of every token that was generated already."""
    frequency_penalty: float = 0.0
    """Need, off at 0: the same, once for each time that it was."""

    def __post_init__(self) -> None:
        # 1 and 1.0 are equal but print differently, and equal requests must have equal digests.
        for name in _FRACTIONS:
            object.__setattr__(self, name, float(getattr(self, name)))

    def __repr__(self) -> str:
        """As it was before there were penalties, where there are none: fakes draw from it."""
        said = ("temperature", "top_p", "top_k", "min_p")
        said += tuple(name for name in _FRACTIONS if name not in said and getattr(self, name))
        return f"Sampling({', '.join(f'{name}={getattr(self, name)!r}' for name in said)})"


@dataclass(frozen=True, slots=True)
class JsonSchema:
    """The output must be JSON of this schema (JSON text)."""

    schema: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The output must be one of these strings."""

    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grammar:
    """The output must match this GBNF grammar."""

    gbnf: str


@dataclass(frozen=True, slots=True)
class Regex:
    """The output must match this regular expression."""

    pattern: str


ANY_JSON: Final = '{"type":"object"}'
"""The schema of any JSON object, for callers that name none."""

Constraint = JsonSchema | Choice | Grammar | Regex

Finish = Literal["eos", "stop", "limit", "until"]
FINISHES = get_args(Finish)


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """One alternative at one position."""

    token: str
    logprob: float


@dataclass(frozen=True)
class Completion:
    """What was generated.

    `finish` is `eos` when the model ended, `stop` at a stop string (kept in `text`), `limit` when
    the cap cut it or a predicate on its tokens gave it up, `until` when a predicate on its text fired.
    """

    text: str
    finish: Finish = "eos"
    stopped_by: str = ""
    """The stop string that fired, for `stop`; `until.GIVEN_UP` for what was given up."""
    tokens: int = 0
    """Generated tokens."""
    ids: tuple[int, ...] = ()
    """The generated ids, where the engine says them; continue by these, not by text."""
    logprobs: tuple[float, ...] = ()
    """Natural log-probability of each generated token before temperature, where asked for."""
    top: tuple[tuple[TokenInfo, ...], ...] = ()
    """The likeliest alternatives at each position, where asked for."""
    reasoning: str = ""
    """Hidden reasoning that the server files apart."""
    calls: tuple[ToolCall, ...] = ()
    """The tools that the model calls instead of answering, or beside it."""
    words: tuple[str, ...] = ()
    """The text of each token, beside `logprobs`, where the engine says it."""


@dataclass(frozen=True)
class Generate(Request[Completion]):
    """Continue a prompt. One sample: the driver coalesces siblings, so there is no `n`."""

    reply_type: ClassVar[Any] = Completion

    prompt: Prompt
    seed: int
    """Seed of this sample; where an engine cannot honour it, the reply says which was used."""
    max_tokens: int = DEFAULT_MAX_TOKENS
    """Always finite: it is what a budget reserves."""
    least_tokens: int = 0
    """The smallest cap still worth having when the grant is nearly spent; 0: `max_tokens`, never less."""
    stop: tuple[str, ...] = ()
    """Stop strings; the one that fires is kept in the output and reported."""
    sampling: Sampling = Sampling()
    logprobs: int = -1
    """Need: -1 none, 0 of the chosen token, k > 0 of the k likeliest too."""
    constraint: Constraint | None = None
    """Need: an engine that cannot enforce it refuses."""
    until: tuple[Until, ...] = ()
    """Predicates on the output so far; generation ends once one holds. Need: those on tokens."""
    tools: tuple[str, ...] = ()
    """Need: the tools that the model may call, each as JSON text in the form of the server's API."""
    tool_choice: str = ""
    """With tools: `auto`, `none`, `required`, or the JSON text that names one."""
    parallel_calls: bool | None = None
    """With tools: whether one output may call several; `None`: the server decides."""
    withheld: tuple[str, ...] = ()
    """Those of `stop` that are no part of the answer: what is streamed of a final request ends before them."""
    final: bool = False
    """Its chunks are part of the answer and may be streamed to a user."""
    role: str = "policy"

    def body(self) -> dict[str, Json]:
        """The request as JSON values; a prompt is its digest."""
        return {"prompt": self.prompt.digest, "seed": self.seed, **self._settings()[1]}

    def _said(self) -> str:
        return f"{self.prompt.digest} {self.seed} {self._settings()[0]}"

    def sibling_key(self) -> str:
        """Digest without the seed: requests that share it may be served as one with `n` samples."""
        return _digest("siblings", f"{self.prompt.digest} {self._settings()[0]}")

    def _settings(self) -> tuple[str, dict[str, Json]]:
        """All but the prompt and the seed; samples of one step share it, so it is made once."""
        return _settings(
            self.max_tokens,
            self.least_tokens,
            self.stop,
            self.sampling,
            self.logprobs,
            self.constraint,
            self.until,
            self.tools,
            self.tool_choice,
            self.parallel_calls,
            self.withheld,
            self.final,
            self.role,
        )


@functools.lru_cache(maxsize=512, typed=True)
def _settings(*values: Any) -> tuple[str, dict[str, Json]]:
    """The settings of a `Generate` as text and as JSON values; neither may be changed."""
    sample = Generate(_NOTHING, 0, *values)
    body = cast(dict[str, Json], encode(sample))
    del body["prompt"], body["seed"]
    # Classes are named: two kinds of constraint may hold equal fields.
    kinds = [type(sample.constraint).__name__, *(type(u).__name__ for u in sample.until)]
    return _to_json([body, kinds]), body


_NOTHING = Prompt.raw("")


# ------------------------------------------------------------------------- scoring and the rest


@dataclass(frozen=True, slots=True)
class Likelihood:
    """Log-probability of one continuation."""

    logprob: float
    """Natural log, summed over its tokens."""
    tokens: int


@dataclass(frozen=True)
class Loglikelihood(Request[tuple[Likelihood, ...]]):
    """How likely each continuation is after the prompt.

    With `labels`, each continuation is a label of which only the first token counts; that form can be
    served from top-logprobs where an engine lacks the exact one.
    """

    reply_type: ClassVar[Any] = tuple[Likelihood, ...]

    prompt: Prompt
    continuations: tuple[str, ...]
    labels: bool = False
    role: str = "judge"


@dataclass(frozen=True)
class ScoreSteps(Request[tuple[float, ...]]):
    """One score per step of a solution, from a process reward model."""

    reply_type: ClassVar[Any] = tuple[float, ...]

    prompt: Prompt
    """The question."""
    steps: tuple[str, ...]
    role: str = "verifier"


@dataclass(frozen=True)
class Embed(Request[tuple[tuple[float, ...], ...]]):
    """One vector per text."""

    reply_type: ClassVar[Any] = tuple[tuple[float, ...], ...]

    texts: tuple[str, ...]
    role: str = "embedder"


@dataclass(frozen=True)
class Grades:
    """A partition of answers, and how they compare with the reference."""

    classes: tuple[int | None, ...]
    """Class of each answer: the index of the class's first member in canonical order; `None` abstains."""
    canonical: tuple[str | None, ...]
    """Canonical form of each answer; `None` where it cannot be parsed."""
    correct: tuple[bool | None, ...] = ()
    """Whether each equals the reference; empty without one, `None` where the answer abstains."""


@dataclass(frozen=True)
class Grade(Request[Grades]):
    """Partition a whole vote by canonical form: transitive and permutation-invariant by construction."""

    reply_type: ClassVar[Any] = Grades

    answers: tuple[str | None, ...]
    kind: str
    """One of `KINDS` of a task."""
    reference: str | None = None
    role: str = "grader"


@dataclass(frozen=True)
class Call(Request[Json]):
    """Call a function of the user's by name; it runs in the thread engine."""

    name: str
    args: tuple[Json, ...] = ()
    role: str = "code"
