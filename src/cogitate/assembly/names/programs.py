"""The scorers of programs that a spec may name."""

from __future__ import annotations

from typing import Any, Final

from cogitate.assembly import factory
from cogitate.assembly.factory import Factory
from cogitate.core.errors import InvalidInput

from .parts import count


@factory.scorer
def checks(kind: str, share: bool = True, seconds: float = 10.0) -> Any:
    """The share of the task's own checks that a program passes, run in the sandbox; no model call.

    Without `share` it is all or nothing.
    """
    from cogitate.scorers import Checks

    return Checks(share, _limits(seconds))


@factory.scorer
def generated_tests(
    kind: str, samples: int = 1, at_most: int = 16, agreement: bool = True, seconds: float = 10.0
) -> Any:
    """A model writes checks, and programs are scored by those they pass in the sandbox.

    With `agreement`, programs that pass the same checks support each other.
    """
    from cogitate.scorers import GeneratedTests

    return GeneratedTests(
        count(samples, "samples"), count(at_most, "at_most"), agreement, limits=_limits(seconds)
    )


def _limits(seconds: float) -> Any:
    from cogitate.core.execute import ExecutionLimits

    if not 0 < seconds <= 3600:
        raise InvalidInput(f"seconds={seconds:g} was asked for; it lies above 0 and up to 3600")
    return ExecutionLimits(seconds=seconds, cpu_seconds=seconds)


FACTORIES: Final[tuple[Factory[...], ...]] = (checks, generated_tests)
