"""Who answers and how: the model, the strategy and the budget of a request, from wherever they were named.

| from | strategy | budget |
| --- | --- | --- |
| body | `cogitate.strategy` | `cogitate.budget`, `max_completion_tokens`, `reasoning_effort` |
| headers | `x-cogitate-strategy` | `x-cogitate-tokens`, `-calls`, `-seconds`, `-usd` |
| path | `/strategies/SPEC/v1/chat/completions` | |
| model name | `SPEC@MODEL`, or an alias for one | |
| configuration | `[gateway] strategy` | `[budget]`, `[gateway.most]` |

What a request itself names must agree, or it is refused; the configuration counts where it names nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, cast

from cogitate.core.errors import InvalidInput
from cogitate.core.usage import UNITS, Budget

from .bounds import check_parts_of
from .refusals import Refused, invalid

if TYPE_CHECKING:
    from cogitate.assembly import Assembled, Configuration

    from .asking import Wanted

PASS: Final = "none"
"""The strategy that is none: the request passes through."""

BUDGET_HEADERS: Final[Mapping[bytes, str]] = {
    b"x-cogitate-tokens": "tokens_out",
    b"x-cogitate-calls": "calls",
    b"x-cogitate-seconds": "seconds",
    b"x-cogitate-usd": "usd",
}
STRATEGY_HEADER: Final = b"x-cogitate-strategy"

_LONGEST: Final = 4096
_WHOLE: Final = ("tokens_in", "tokens_out", "calls")


@dataclass(frozen=True)
class Answerer:
    """A model with a strategy, or without one: then the request passes through."""

    model: str
    """As it is opened: a name of the configuration, or a spec."""
    strategy: Assembled | None
    name: str
    """As the client named it."""


class Choosing:
    """What may be chosen, read once from the configuration."""

    def __init__(self, configuration: Configuration, models: tuple[str, ...] = ()) -> None:
        """Read the names.

        Args:
            configuration: with its gateway settings.
            models: names beside those of the configuration, such as engines of the caller's.
        """
        self._configuration = configuration
        self._settings = configuration.gateway
        named = self._settings.models or tuple(
            dict.fromkeys((configuration.model, *configuration.aliases, *configuration.endpoints))
        )
        self.names = tuple(dict.fromkeys((*models, *named)))
        """What a client may put into `model`, strategies apart."""
        self._read: dict[str, Assembled] = {}
        self._named: dict[str, Answerer] = {}
        self._known = frozenset(self.names)
        self._plain: dict[str, str] = {}

    def listed(self) -> tuple[str, ...]:
        """The models, and each of them with each named strategy."""
        pairs = [
            f"{strategy}@{model}"
            for strategy in self._settings.strategies
            for model in self.names
            if self._resolved(model)[0] is None
        ]
        return (*self.names, *pairs)

    def answerer(
        self, model: Any, body: Any, headers: Mapping[bytes, bytes], path: str
    ) -> Answerer:
        """Who answers a request.

        Args:
            model: the body's `model`.
            body: the body's `cogitate.strategy`.
            headers: of the request.
            path: the strategy in its path, or nothing.

        Raises:
            Refused: for an unknown model or strategy, and for two that differ.
        """
        named = self._split(model)
        said = [("cogitate.strategy", body)] if body is not None else []
        if (held := headers.get(STRATEGY_HEADER)) is not None:
            said.append((STRATEGY_HEADER.decode(), held.decode("latin-1")))
        if path:
            said.append(("the path", path))
        chosen, where = named.strategy, "model"
        found = named.strategy is not None
        for param, spec in said:
            strategy = self.strategy(spec, param)
            if found and strategy != chosen:
                raise invalid(
                    f"{where} names the strategy {chosen or PASS} and {param} names {strategy or PASS}; "
                    "name one",
                    param if "." in param or "-" in param else None,
                    "conflicting_strategies",
                )
            chosen, where, found = strategy, param, True
        if not found and self._settings.strategy:
            chosen = self.strategy(self._settings.strategy, "gateway.strategy")
        return replace(named, strategy=chosen) if chosen is not named.strategy else named

    def strategy(self, spec: Any, param: str) -> Assembled | None:
        """What a spec or a configured name says; `None` for `none`.

        Raises:
            Refused: where it cannot be read.
        """
        if not isinstance(spec, str) or len(spec) > _LONGEST:
            raise invalid(f"{param} must be a strategy spec, such as best_of(n=4)", param)
        text = self._settings.strategies.get(spec, spec).strip()
        if text == PASS:
            return None
        known = self._read.get(text)
        if known is None:
            from cogitate.assembly import SpecError, read

            try:
                known = read(text)
            except SpecError as error:
                raise invalid(f"{param}: {error}", param, "unknown_strategy") from None
            check_parts_of(known, param, self._settings.max_samples)
            if len(self._read) < _LONGEST:
                self._read[text] = known
        return known

    # ----------------------------------------------------------------------------- models

    def _split(self, model: Any) -> Answerer:
        if not isinstance(model, str) or not model:
            raise invalid("model must be the name of a model; see /v1/models", "model")
        known = self._named.get(model)
        if known is not None:
            return known
        if len(model) > _LONGEST or not model.isprintable():
            raise invalid("model must be a short printable name; see /v1/models", "model")
        if self._may(model):
            strategy, target = self._resolved(model)
        else:
            left, right = split_at(model)
            if not left or not self._may(right):
                raise self._unknown(right if left else model)
            strategy, target = self._resolved(right)
            given = self.strategy(left, "model")
            if strategy is not None and given != strategy:
                raise invalid(
                    f"{left[:80]} was asked for, but {right[:80]} stands for a strategy already; name a "
                    "plain model",
                    "model",
                    "conflicting_strategies",
                )
            strategy = given
        found = Answerer(target, strategy, model)
        if len(self._named) < _LONGEST:
            self._named[model] = found
        return found

    def _may(self, name: str) -> bool:
        return name in self._known or (
            self._settings.allow_any_model and not split_at(name)[0] and bool(name)
        )

    def _resolved(self, name: str) -> tuple[Assembled | None, str]:
        """The strategy and the model that a name stands for: an alias may stand for both."""
        seen: list[str] = []
        while (held := self._configuration.aliases.get(name)) is not None and name not in seen:
            seen.append(name)
            left, right = split_at(held)
            if left:
                return self.strategy(left, "model"), right
            name = held
        return None, seen[0] if seen else name

    def _unknown(self, name: str) -> Refused:
        from cogitate.assembly.factory import nearest

        shown = name if len(name) <= 80 else name[:77] + "..."
        return Refused(
            404,
            f"there is no model {shown!r}{nearest(name, self.names)}",
            param="model",
            code="model_not_found",
        )

    # ---------------------------------------------------------------------------- budgets

    def budget(self, wanted: Wanted, headers: Mapping[bytes, bytes]) -> Budget:
        """What a request may spend.

        Raises:
            Refused: for an amount that is none, or more than the configuration allows.
        """
        said = self._said(wanted.own or {}, headers)
        implied: dict[str, float] = {}
        if wanted.effort:
            effort = self._settings.efforts.get(wanted.effort)
            if effort is None:
                raise invalid(
                    f"reasoning_effort must be one of {', '.join(self._settings.efforts)}",
                    "reasoning_effort",
                )
            implied |= dict(effort.bounds())
        if wanted.completion_tokens is not None:
            tokens = math.ceil(wanted.completion_tokens * self._settings.completion_factor)
            implied["tokens_out"] = min(tokens, implied.get("tokens_out", tokens))
        bounds = dict(self._configuration.budget.bounds()) | implied | said
        for unit, most in self._settings.most.bounds():
            bounds[unit] = min(bounds.get(unit, most), most)
        return Budget(**cast("dict[str, Any]", bounds))

    def seconds(self, headers: Mapping[bytes, bytes]) -> float | None:
        """The deadline of a request that passes through."""
        said = self._said({}, headers) if headers.keys() & BUDGET_HEADERS.keys() else {}
        return said.get("seconds", self._settings.most.seconds)

    def _said(self, own: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> dict[str, float]:
        found: dict[str, float] = {}
        inner = own.get("budget")
        if inner is not None:
            if not isinstance(inner, dict):
                raise invalid("cogitate.budget must be an object", "cogitate.budget")
            for unit, value in cast(dict[str, Any], inner).items():
                param = f"cogitate.budget.{unit[:40]}"
                if unit not in UNITS:
                    raise invalid(f"{param} is not known; there are {', '.join(UNITS)}", param)
                found[unit] = self._amount(value, unit, param)
        for header, unit in BUDGET_HEADERS.items():
            held = headers.get(header)
            if held is None:
                continue
            amount = self._amount(_number(held), unit, header.decode())
            if found.setdefault(unit, amount) != amount:
                raise invalid(
                    f"{header.decode()} and cogitate.budget.{unit} differ; give one",
                    header.decode(),
                )
        return found

    def _amount(self, value: Any, unit: str, param: str) -> float:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        if not fits or not math.isfinite(value) or value <= 0 or value > 2**53:
            raise invalid(f"{param} must be a number above 0", param)
        if unit in _WHOLE and value != int(value):
            raise invalid(f"{param} must be a whole number", param)
        most = getattr(self._settings.most, unit)
        if most is not None and value > most:
            raise invalid(
                f"{param} is {value:g}, but a request may have at most {most:g}",
                param,
                "above_limit",
            )
        return int(value) if unit in _WHOLE else float(value)


def _number(raw: bytes) -> float | None:
    try:
        return float(raw)
    except ValueError:
        return None


def split_at(name: str) -> tuple[str, str]:
    """The strategy and the model in `SPEC@MODEL`; no strategy where there is none.

    >>> split_at("best_of(n=4, scorer=judge(criteria='a@b'))@mine")
    ("best_of(n=4, scorer=judge(criteria='a@b'))", 'mine')
    >>> split_at("hf:owner/model@main")
    ('', 'hf:owner/model@main')
    """
    head = name.partition("(")[0].partition("@")[0]
    if not head.replace("_", "").replace("-", "").replace(".", "").isalnum():
        return "", name
    depth, quote, skip = 0, "", False
    for at, c in enumerate(name):
        if skip:
            skip = False
        elif quote:
            skip, quote = c == "\\", "" if c == quote else quote
        elif c in "\"'":
            quote = c
        elif c in "([":
            depth += 1
        elif c in ")]":
            depth -= 1
        elif c == "@" and depth == 0:
            return name[:at].strip(), name[at + 1 :].strip()
    return "", name


def check_names(configuration: Configuration) -> None:
    """Refuse a configuration whose strategies or models cannot be read.

    Raises:
        InvalidInput: in one sentence.
    """
    choosing = Choosing(configuration)
    from cogitate.assembly.models import targets

    for name in choosing.names:
        try:
            found = choosing.answerer(name, None, {}, "")
        except Refused as refused:
            raise InvalidInput(f"the model {name!r} of the gateway: {refused.message}") from None
        targets(found.model, configuration)
