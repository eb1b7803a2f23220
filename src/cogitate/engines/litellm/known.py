"""What the library knows of one model: its provider's parameters, its keys and its price."""

from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from typing import Any, cast

from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Usage
from cogitate.engines.openai import tally


def _runs_tools() -> bool:
    """Whether this version hands tools to a part of itself that may run them, and asks for a package to do so."""
    try:
        return find_spec("litellm.responses.mcp.chat_completions_handler") is not None
    except ImportError:
        return False


class Known:
    """What the library says of one model."""

    def __init__(self, model: str, held: Any, price: tally.Price | None) -> None:
        self._price = price
        self.library = held
        try:
            self.name, self.provider, _, _ = held.get_llm_provider(model)
        except Exception:
            raise InvalidInput(
                f"LiteLLM knows no provider of the model {model!r}; write litellm:PROVIDER/MODEL, such as "
                "litellm:anthropic/claude-haiku-4-5"
            ) from None
        said = self._ask("get_supported_openai_params", model=self.name)
        self.parameters = frozenset(cast(list[str], said or []))
        info = cast(dict[str, Any], self._ask("get_model_info", model=self.name) or {})
        self.prefill = bool(info.get("supports_assistant_prefill"))
        self.schema = bool(self._ask("supports_response_schema", model=self.name))
        self.runs_tools = _runs_tools()
        keys = held.validate_environment(model=model)
        self.missing = tuple(str(k) for k in keys.get("missing_keys", ()))

    def _ask(self, name: str, **given: Any) -> Any:
        try:
            return getattr(self.library, name)(**given, custom_llm_provider=self.provider)
        except Exception:  # it raises for what it does not know
            return None

    def usage(self, counts: tally.Counted, *, estimated: bool) -> Usage:
        """What so many tokens cost: at the price that was given, else at what the library knows of."""
        usage = tally.usage_of(counts, self._price, estimated=estimated)
        return usage if self._price is not None else replace(usage, usd=self._cost(counts))

    def _cost(self, counts: tally.Counted) -> float | None:
        parts = self._ask(
            "cost_per_token",
            model=self.name,
            prompt_tokens=counts.tokens_in,
            completion_tokens=counts.tokens_out,
            cache_read_input_tokens=counts.cached,
        )
        return None if parts is None else float(sum(parts))
