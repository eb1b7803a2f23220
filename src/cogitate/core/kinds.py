"""Every kind of request that a journal can name, by its name."""

from __future__ import annotations

from typing import Any

from .execute import Execute
from .requests import Call, Embed, Generate, Grade, Loglikelihood, Request, ScoreSteps
from .retrieve import Retrieve

REQUESTS: dict[str, type[Request[Any]]] = {
    cls.__name__: cls
    for cls in (Generate, Loglikelihood, ScoreSteps, Embed, Grade, Call, Execute, Retrieve)
}
"""The kinds a journal can name."""
