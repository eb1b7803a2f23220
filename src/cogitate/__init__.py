"""Spends a model's inference compute well: the best answer a budget can buy, with its cost.

>>> import cogitate as cg
>>> cg.solve("What is 2 + 2?", model='fake(answers=["4"])', strategy="self_consistency(n=3)").answer
'4'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cogitate.assembly import (
        Result,
        model,
        read,
        replay,
        resume,
        scorer,
        solve,
        solve_async,
        solve_many,
    )
    from cogitate.core.candidates import Artifact, Candidate, Ranking, Score, Unscored
    from cogitate.core.errors import CogitateError, Failed, InvalidInput, OutOfBudget
    from cogitate.core.seeds import Seed
    from cogitate.core.task import Message, Task
    from cogitate.core.usage import Budget, Usage
    from cogitate.drive import Stop

__version__ = "0.1.0"

_HOMES = {
    "assembly": (
        "Result",
        "model",
        "read",
        "replay",
        "resume",
        "scorer",
        "solve",
        "solve_async",
        "solve_many",
    ),
    "core.candidates": ("Artifact", "Candidate", "Ranking", "Score", "Unscored"),
    "core.errors": ("CogitateError", "Failed", "InvalidInput", "OutOfBudget"),
    "core.seeds": ("Seed",),
    "core.task": ("Message", "Task"),
    "core.usage": ("Budget", "Usage"),
    "drive": ("Stop",),
}
_HOME = {name: room for room, names in _HOMES.items() for name in names}

__all__ = [
    "Artifact",
    "Budget",
    "Candidate",
    "CogitateError",
    "Failed",
    "InvalidInput",
    "Message",
    "OutOfBudget",
    "Ranking",
    "Result",
    "Score",
    "Seed",
    "Stop",
    "Task",
    "Unscored",
    "Usage",
    "model",
    "read",
    "replay",
    "resume",
    "scorer",
    "solve",
    "solve_async",
    "solve_many",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for, so that importing the package is fast."""
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'cogitate' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"cogitate.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
