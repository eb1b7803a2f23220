"""Simulated worlds: policies and verifiers without weights, whose every chance is known."""

from __future__ import annotations

from .chain import WAYS, Chain, ChainWorld, chains, read_chain
from .closed_forms import (
    answer_chances,
    best_of_gaussian,
    coverage,
    finish_chance,
    halving_regret_bound,
    majority_of,
    majority_of_two,
    right_chance,
    uniform_regret,
)
from .model import ChainModel
from .policy import first_error
from .presets import PRESETS, preset
from .solution import Place, read_on
from .validation import Compared, validated
from .verifiers import step_scores

__all__ = [
    "PRESETS",
    "WAYS",
    "Chain",
    "ChainModel",
    "ChainWorld",
    "Compared",
    "Place",
    "answer_chances",
    "best_of_gaussian",
    "chains",
    "coverage",
    "finish_chance",
    "first_error",
    "halving_regret_bound",
    "majority_of",
    "majority_of_two",
    "preset",
    "read_chain",
    "read_on",
    "right_chance",
    "step_scores",
    "uniform_regret",
    "validated",
]
