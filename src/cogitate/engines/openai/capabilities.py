"""What a server can do: assumed from its kind, or found by the probe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self, cast, get_args

from cogitate.core.errors import InvalidInput

Dialect = Literal["generic", "llamacpp", "ollama", "openai", "sglang", "vllm"]
DIALECTS: tuple[Dialect, ...] = get_args(Dialect)

Prefill = Literal["none", "flag", "implicit", "implicit_echo", "template"]
"""How an assistant message is continued: by `continue_final_message`; just because it is last (and
some servers say the beginning again); by rendering the template and continuing the text."""

ConstraintKind = Literal["json_schema", "choice", "grammar", "regex"]


@dataclass(frozen=True)
class Capabilities:
    """What one endpoint can do for this package; printable, and JSON by `as_dict`.

    >>> assumed("openai").stop_reported, assumed("vllm").constraints
    (False, ('json_schema', 'choice', 'grammar', 'regex'))
    """

    dialect: Dialect = "generic"
    version: str = ""
    probed: bool = False
    """Whether this was found by asking, or assumed from the kind of server."""
    models: tuple[str, ...] = ()
    """What the server lists."""
    chat: bool = True
    completions: bool = False
    """Whether raw prompts can be continued."""
    n: bool = False
    max_n: int = 1
    """Siblings in one call."""
    logprobs: bool = False
    top_logprobs: int = 0
    """The most alternatives per position that it reports."""
    prompt_logprobs: bool = False
    """Whether it scores a given text (`echo`)."""
    label_scoring: bool = False
    """Whether labels can be scored, by the likeliest first tokens."""
    token_ids_in: bool = False
    token_ids_out: bool = False
    tokenize: bool = False
    """Whether it tokenises and detokenises for us."""
    renders: bool = False
    """Whether it renders its chat template for us, as text or ids."""
    prefill: Prefill = "none"
    stop_reported: bool = False
    """Whether it says which stop string fired; else the engine streams and cuts."""
    stop_regex: bool = False
    constraints: tuple[ConstraintKind, ...] = ()
    """The kinds of constraint that it enforces."""
    usage_in_stream: bool = False
    """Whether a stream ends with its usage when asked to."""
    cached_tokens_reported: bool = False
    tools: bool = True
    """Whether it calls tools; most servers of chat do, and those that do not say so."""
    images: bool = True
    """Whether messages may have images and files; a model that sees none refuses by itself."""
    penalties: bool = True
    """Whether it draws with presence and frequency penalties."""
    embeddings: bool = False
    thinking_budget: bool = False
    hidden_states: bool = False
    input_embeds: bool = False
    max_context: int | None = None
    """Tokens of prompt and output together; `None`: not said."""
    findings: tuple[str, ...] = ()
    """What the probe saw that a person should know, such as a constraint that is silently ignored."""

    def as_dict(self) -> dict[str, Any]:
        """All fields as JSON values."""
        raw = asdict(self)
        return {
            name: list(cast(tuple[Any, ...], value)) if isinstance(value, tuple) else value
            for name, value in raw.items()
        }

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """The inverse of `as_dict`; unknown names are ignored, so that a cache outlives an upgrade.

        Raises:
            InvalidInput: for a dialect that does not exist.
        """
        known = {f.name for f in fields(cls)}
        values: dict[str, Any] = {
            name: tuple(cast(list[Any], value)) if isinstance(value, list) else value
            for name, value in raw.items()
            if name in known
        }
        if values.get("dialect", "generic") not in DIALECTS:
            raise InvalidInput(
                f"the dialect {values['dialect']!r} was asked for; there are {', '.join(DIALECTS)}"
            )
        return cls(**values)

    def __str__(self) -> str:
        rows = [
            (
                name.replace("_", " "),
                _shown(value) + (" (not probed)" if name in _ASKED_NEVER else ""),
            )
            for name, value in ((f.name, getattr(self, f.name)) for f in fields(self))
            if name != "findings"
        ]
        lines = [f"{name:<23} {value}" for name, value in rows]
        return "\n".join([*lines, *(f"! {finding}" for finding in self.findings)])


_ASKED_NEVER = (
    "images",
    "penalties",
    "stop_regex",
    "thinking_budget",
    "hidden_states",
    "input_embeds",
)
"""The probe spends nothing on them: a server refuses images and penalties by itself, the others no request uses yet."""


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(v) for v in value) or "-"  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return "-" if value is None or value == "" else str(value)


_ALL: tuple[ConstraintKind, ...] = get_args(ConstraintKind)

_ASSUMED: Mapping[Dialect, Capabilities] = {
    "generic": Capabilities(),
    "openai": Capabilities(
        "openai",
        n=True,
        max_n=8,
        logprobs=True,
        top_logprobs=20,
        label_scoring=True,
        constraints=("json_schema",),
        usage_in_stream=True,
        cached_tokens_reported=True,
        embeddings=True,
    ),
    "ollama": Capabilities(
        "ollama",
        prefill="implicit",
        constraints=("json_schema",),
        usage_in_stream=True,
        embeddings=True,
    ),
    "llamacpp": Capabilities(
        "llamacpp",
        completions=True,
        logprobs=True,
        top_logprobs=1000,
        label_scoring=True,
        token_ids_in=True,
        token_ids_out=True,
        tokenize=True,
        renders=True,
        prefill="template",
        stop_reported=True,
        constraints=("json_schema", "choice", "grammar"),
        usage_in_stream=True,
        cached_tokens_reported=True,
        thinking_budget=True,
    ),
    "vllm": Capabilities(
        "vllm",
        completions=True,
        n=True,
        max_n=64,
        logprobs=True,
        top_logprobs=20,
        prompt_logprobs=True,
        label_scoring=True,
        token_ids_in=True,
        token_ids_out=True,
        tokenize=True,
        renders=True,
        prefill="flag",
        stop_reported=True,
        constraints=_ALL,
        usage_in_stream=True,
        thinking_budget=True,
    ),
    "sglang": Capabilities(
        "sglang",
        completions=True,
        n=True,
        max_n=64,
        logprobs=True,
        top_logprobs=20,
        prompt_logprobs=True,
        label_scoring=True,
        token_ids_in=True,
        token_ids_out=True,
        tokenize=True,
        prefill="flag",
        stop_reported=True,
        stop_regex=True,
        constraints=_ALL,
        usage_in_stream=True,
    ),
}


def assumed(dialect: Dialect) -> Capabilities:
    """What servers of this kind are known to do; `generic` promises chat and nothing else.

    Raises:
        InvalidInput: for a dialect that does not exist.
    """
    if dialect not in _ASSUMED:
        raise InvalidInput(
            f"the dialect {dialect!r} was asked for; there are {', '.join(DIALECTS)}"
        )
    return _ASSUMED[dialect]
