"""What a run will do, settled and checked before anything is spent."""

from __future__ import annotations

import inspect
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

from cogitate.core.candidates import Artifact, Ranking
from cogitate.core.codec import decode, encode
from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.flow import Flow
from cogitate.core.prompt import Prompt
from cogitate.core.protocols import Strategy
from cogitate.core.requests import Generate, ScoreSteps
from cogitate.core.seeds import Seed
from cogitate.core.task import Message, Task
from cogitate.core.templates import digests
from cogitate.core.usage import Budget

from .configuration import Configuration
from .factory import Assembled
from .models import ModelLike, Models, Opened, named
from .own import Function, functions_of, given, scorer
from .spec import read
from .tasks import Asked, asked

Chosen = Assembled | Strategy


@dataclass(frozen=True)
class Choice:
    """A strategy for one kind of answer, and why it was taken."""

    strategy: Chosen
    reason: str = ""


@dataclass(frozen=True)
class Known:
    """What a choice of strategy may depend on, apart from the task."""

    configuration: Configuration
    functions: Mapping[str, Function] = field(default_factory=lambda: MappingProxyType({}))
    verifier: bool = False
    """Whether a process reward model is at hand."""


@dataclass(frozen=True)
class Plan:
    """One run: what is asked, how, by whom and for how much."""

    asked: Asked
    choice: Choice
    models: Models
    budget: Budget
    seed: int
    configuration: Configuration = field(repr=False)
    functions: Mapping[str, Function] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def strategy(self) -> Chosen:
        """What runs."""
        return self.choice.strategy

    @property
    def reason(self) -> str:
        """Why this kind, strategy and scorer, where the caller did not choose them."""
        return "; ".join(r for r in (self.asked.reason, self.choice.reason) if r)

    def flow(self) -> Flow[Ranking[Artifact]]:
        """A fresh flow of this run."""
        return flow_of(self.strategy, self.asked.task, Seed(self.seed))

    def header(self, fingerprints: Mapping[str, str]) -> dict[str, Any]:
        """The run card that opens a journal."""
        return card(self.models, self.budget, self.seed, fingerprints) | {
            "run": "solve",
            "strategy": str(self.strategy),
            "task": encode(self.asked.task),
            "reason": self.reason,
        }

    def check(self, opened: Opened) -> None:
        """Refuse what the opened engines cannot do.

        Raises:
            InvalidInput: for a budget in a unit nobody can count, or a scorer nobody serves.
        """
        check_units(self.budget, opened)
        check_served(self.strategy, opened)


def plan(
    question: str | Task,
    *,
    model: ModelLike | None = None,
    strategy: str | Chosen | None = None,
    budget: Budget | None = None,
    kind: str | type | None = None,
    seed: int = 0,
    scorer: str | Any | None = None,
    functions: Mapping[str, Function] | None = None,
    configuration: Configuration,
) -> Plan:
    """Settle a run.

    Raises:
        InvalidInput: in one sentence, for anything that cannot be done.
    """
    wanted = asked(question, kind)
    models = named(model, configuration)
    known = Known(configuration, MappingProxyType(dict(functions or {})), models.has_verifier)
    choice = choose(strategy, scorer, wanted.task.kind, known)
    return Plan(
        wanted,
        choice,
        models,
        check_budget(budget if budget is not None else configuration.budget),
        check_seed(seed),
        configuration,
        MappingProxyType(functions_of([choice.strategy])),
    )


async def flow_of(strategy: Chosen, task: Task, seed: Seed) -> Ranking[Artifact]:
    """Run a strategy on a task."""
    return await strategy(task, seed)


def choose(
    strategy: str | Chosen | None,
    judged_by: str | Any | None,
    kind: str,
    known: Known,
) -> Choice:
    """The strategy for a kind of answer, with its scorer filled in.

    Raises:
        InvalidInput: for a spec that cannot be read, or a strategy that takes no scorer.
    """
    from . import names

    reason = ""
    if judged_by is not None:
        judged_by = _scorer(judged_by)
    if strategy is None and judged_by is None and known.configuration.strategy:
        strategy = known.configuration.strategy
    if strategy is None and judged_by is not None:
        strategy = names.best_of(scorer=judged_by)
        judged_by = None
    elif strategy is None:
        strategy, reason = names.default_strategy(kind)
    made = read(strategy) if isinstance(strategy, str) else strategy
    if not isinstance(made, Assembled):
        if judged_by is not None:
            raise InvalidInput(
                "a scorer was given beside a strategy object; put it into the strategy"
            )
        return Choice(made, reason)
    if made.family != "strategy":
        raise InvalidInput(f"{made} is a {made.family}; a strategy is wanted, such as best_of(n=4)")
    if judged_by is not None:
        if "scorer" not in made.factory.parameters:
            raise InvalidInput(
                f"{made.name} takes no scorer; use one that does, such as best_of(n=4)"
            )
        made = made.with_argument("scorer", judged_by)
    filled, why = names.filled(given(made, known.functions), kind, known.verifier)
    return Choice(filled, "; ".join(r for r in (reason, why) if r))


def _scorer(wanted: Any) -> Any:
    if isinstance(wanted, str):
        return read(wanted, "scorer")
    if isinstance(wanted, Assembled) and wanted.family != "scorer":
        raise InvalidInput(f"{wanted} is a {wanted.family}; a scorer is wanted, such as judge()")
    if inspect.isfunction(wanted):  # a bare function: the caller's own verifier
        return scorer(wanted)
    return wanted


def check_budget(budget: Budget) -> Budget:
    """Refuse a budget that buys nothing.

    Raises:
        InvalidInput: for a bound of zero.
    """
    for unit, amount in budget.bounds():
        if amount <= 0:
            raise InvalidInput(
                f"a budget of {amount:g} {unit} was asked for; it buys nothing: give more than 0, or "
                "leave it out for no bound"
            )
    return budget


def check_seed(seed: int) -> int:
    """Refuse a seed that is no whole number.

    Raises:
        InvalidInput: naming what was given.
    """
    if not isinstance(seed, int) or isinstance(seed, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidInput(f"a seed is a whole number, not {seed!r}")
    return seed


def check_units(budget: Budget, opened: Opened) -> None:
    """Refuse a budget in a unit that some model cannot count, such as money without a price.

    Raises:
        InvalidInput: before anything is spent.
    """
    probe = Generate(Prompt.chat(Message("user", "?")), seed=0, max_tokens=1)
    specs = opened.models.specs
    for role, engines in opened.router.roles.items():
        for engine in engines:
            ceiling = engine.ceiling(probe)
            for unit, _ in budget.bounds():
                if unit == "seconds" or getattr(ceiling, unit) is not None:
                    continue
                what, remedy = _REMEDIES.get(
                    unit, (f"{unit} are", "bound tokens_out or seconds instead")
                )
                raise InvalidInput(
                    f"a budget in {unit} was asked for, but {what} not known for {specs[role]}; {remedy}"
                )


_REMEDIES = {
    "usd": (
        "the price is",
        "give its price in the configuration under [prices] or the endpoint, or bound tokens_out instead",
    )
}


def check_served(strategy: Chosen, opened: Opened) -> None:
    """Refuse a process reward model that nobody serves.

    Raises:
        InvalidInput: before anything is generated for it.
    """
    parts = strategy.parts() if isinstance(strategy, Assembled) else ()
    asks = {"prm": ScoreSteps(Prompt.chat(Message("user", "?")), ("?",))}
    for part in parts:
        if part.name in asks:
            try:
                opened.router.choose(asks[part.name])
            except Failed as failure:
                raise InvalidInput(f"{part} cannot be used here: {failure.reason}") from None


def card(
    models: Models, budget: Budget, seed: int, fingerprints: Mapping[str, str]
) -> dict[str, Any]:
    """The part of a run card that every run has."""
    from cogitate import __version__

    return {
        "package": __version__,
        "models": models.specs,
        "fingerprints": dict(fingerprints),
        "prompts": prompt_hashes(),
        "seed": seed,
        "budget": encode(budget),
        "host": {
            "python": platform.python_version(),
            "platform": sys.platform,
            "machine": platform.machine(),
            "cores": os.cpu_count() or 0,
        },
    }


@cache
def prompt_hashes() -> dict[str, str]:
    """SHA-256 of every prompt file and preset of the package, by its path inside it."""
    from cogitate.processes import prompt_files

    found = {f"processes/{name}": digest for name, digest in prompt_files().items()}
    for room in ("scorers", "search"):
        found |= {f"{room}/{name}": digest for name, digest in digests(room).items()}
    return dict(sorted(found.items()))


class RankingCodec:
    """How a finished task is sealed in a journal."""

    def encode(self, value: Ranking[Artifact]) -> Any:
        """As JSON values."""
        return encode(value)

    def decode(self, raw: Any) -> Ranking[Artifact]:
        """The inverse."""
        return decode(Ranking[Artifact], raw)
