"""The front door: specs, models, configuration, and solving."""

from __future__ import annotations

from .configuration import Configuration, Endpoint, Price, Setting, load
from .factory import Assembled, Factory
from .many import solve_many
from .models import Models, Opened, known_names, named, open_spec, opened
from .names import TABLE, default_scorer, default_strategy
from .own import OwnModel, model, scorer
from .planning import Plan, plan
from .result import Result, to_text
from .resume import flow_from_header, plan_from_header, replay, replay_many, resume
from .solving import solve, solve_async
from .spec import SpecError, read
from .streaming import streaming
from .tasks import Asked, asked

__all__ = [
    "TABLE",
    "Asked",
    "Assembled",
    "Configuration",
    "Endpoint",
    "Factory",
    "Models",
    "Opened",
    "OwnModel",
    "Plan",
    "Price",
    "Result",
    "Setting",
    "SpecError",
    "asked",
    "default_scorer",
    "default_strategy",
    "flow_from_header",
    "known_names",
    "load",
    "model",
    "named",
    "open_spec",
    "opened",
    "plan",
    "plan_from_header",
    "read",
    "replay",
    "replay_many",
    "resume",
    "scorer",
    "solve",
    "solve_async",
    "solve_many",
    "streaming",
    "to_text",
]
