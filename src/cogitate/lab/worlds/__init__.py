"""Simulated worlds: policies and verifiers without weights, whose every chance is known."""

from __future__ import annotations

from .bandit import Bandit, BanditWorld, bandits
from .chain import WAYS, Chain, ChainWorld, chains, nth_chain, read_chain
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
from .pair import Pair, PairsWorld, pairs
from .policy import first_error
from .presets import PRESETS, preset
from .riddle import RIDDLES, Riddle, RiddleWorld, remembered, riddles
from .serving import WorldModel
from .solution import Place, read_on
from .tree import Tree, TreeWorld, trees
from .validation import Compared, validated
from .verifiers import step_scores

__all__ = [
    "PRESETS",
    "RIDDLES",
    "WAYS",
    "Bandit",
    "BanditWorld",
    "Chain",
    "ChainModel",
    "ChainWorld",
    "Compared",
    "Pair",
    "PairsWorld",
    "Place",
    "Riddle",
    "RiddleWorld",
    "Tree",
    "TreeWorld",
    "WorldModel",
    "answer_chances",
    "bandits",
    "best_of_gaussian",
    "chains",
    "coverage",
    "finish_chance",
    "first_error",
    "halving_regret_bound",
    "majority_of",
    "majority_of_two",
    "nth_chain",
    "pairs",
    "preset",
    "read_chain",
    "read_on",
    "remembered",
    "riddles",
    "right_chance",
    "step_scores",
    "trees",
    "uniform_regret",
    "validated",
]
