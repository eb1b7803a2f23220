"""Paper 23: what memory is worth, level by level, and what a wrong one costs."""

from __future__ import annotations

from typing import Any, Final

from cogitate.lab.worlds import RIDDLES

from .claim import Observed, Setting, performance, statistical
from .memory_trials import CHAIN, lead, recalled, recalling, riddles_of, share
from .trials import shown

LEVELS: Final[dict[str, dict[str, Any]]] = {
    "none": {"problems": 0, "steps": 0},
    "problems": {"steps": 0},
    "steps": {"problems": 0},
    "both": {},
}


@statistical(
    "each level of memory helps, and both help most",
    "accuracy(both) ≥ accuracy(one level) ≥ accuracy(none) on average when the corpus covers the templates",
    items=(6,),
    preset="riddles",
    null="riddles_untaught",
    rejects="a level of memory is worth nothing, or both are worth less than one",
    region=({"known": 0.4}, {"hint": 0.5}, {"example": 0.0}),
)
def levels(setting: Setting) -> Observed:
    world, count = riddles_of(setting), setting.size(150, 60)
    found = {name: recalled(recalling(**told), world, count) for name, told in LEVELS.items()}
    gains = {name: lead(found[name], found["none"]) for name in ("problems", "steps", "both")}
    top = max(("problems", "steps"), key=lambda name: share(found[name]))
    more = lead(found["both"], found[top])
    return Observed(
        min(gain.low for gain in gains.values()) > 0 and more.high > 0,
        "right with "
        + ", ".join(f"{name} {share(one):.3f}" for name, one in found.items())
        + "; over none "
        + ", ".join(f"{name} {shown(gain)}" for name, gain in gains.items())
        + f"; both over {top} alone {shown(more)}",
        (gains["problems"].low, gains["problems"].high),
        count,
        (0,),
    )


@performance(
    "a memory of other kinds does no harm where it may be rejected",
    "with an irrelevant corpus and rejection on, no loss within noise",
    items=(6,),
)
def harmless(setting: Setting) -> Observed:
    world, count = RIDDLES["riddles"], setting.size(150, 50)
    found = recalled(recalling(), world, count, "foreign")
    bare = recalled(recalling(problems=0, steps=0), world, count)
    gain = lead(found, bare)
    return Observed(
        gain.high >= 0,
        f"right {share(found):.3f} with a foreign corpus, {share(bare):.3f} with none: {shown(gain)}",
        (gain.low, gain.high),
        count,
        (0,),
    )


@statistical(
    "a memory of other kinds harms where nothing is rejected",
    "with rejection off, a loss",
    items=(6,),
    preset="riddles",
    null="riddles_untaught",
    rejects="showing what is not alike does no harm",
    region=({"distract": 0.5, "mislead": 0.2},),
)
def harmful(setting: Setting) -> Observed:
    world, count = riddles_of(setting), setting.size(150, 50)
    found = recalled(recalling(reject=False), world, count, "foreign")
    bare = recalled(recalling(problems=0, steps=0), world, count)
    loss = lead(bare, found)
    return Observed(
        loss.low > 0,
        f"right {share(found):.3f} with everything shown, {share(bare):.3f} with nothing: loss {shown(loss)}",
        (loss.low, loss.high),
        count,
        (0,),
    )


@statistical(
    "with a faithful verifier more iterations are more often right",
    "accuracy rises with a faithful PRM",
    items=(7,),
    preset="riddles_judged",
    null="riddles_blind",
    rejects="twelve iterations are no more often right than two",
    region=({"auc": 0.75},),
)
def rises(setting: Setting) -> Observed:
    """Without memory, so that there is room to rise."""
    world, count = riddles_of(setting), setting.size(150, 60)
    few, many = (
        recalled(recalling(problems=0, steps=0, iterations=n), world, count) for n in (2, 12)
    )
    gain = lead(many, few)
    return Observed(
        gain.low > 0,
        f"right {share(few):.3f} after 2 iterations and {share(many):.3f} after 12: {shown(gain)}",
        (gain.low, gain.high),
        count,
        (0,),
    )


@statistical(
    "with a blind verifier memory helps, and choosing no more",
    "Uninformative PRM → retrieval still helps through generation but selection gain vanishes",
    items=(8,),
    preset="riddles_blind",
    null="riddles_untaught",
    rejects="memory is worth nothing under a blind verifier, or the tree is worth more than one chain",
    region=({"hint": 1.0},),
)
def blind(setting: Setting) -> Observed:
    """Whether the tree's choice beats one chain is asked with memory on both sides."""
    world, count = riddles_of(setting), setting.size(150, 60)
    with_memory = recalled(recalling(), world, count)
    without = recalled(recalling(problems=0, steps=0), world, count)
    chain = recalled(recalling(search=CHAIN), world, count)
    helps, chooses = lead(with_memory, without), lead(with_memory, chain)
    return Observed(
        helps.low > 0 and chooses.low <= 0,
        f"right {share(with_memory):.3f} with memory and {share(without):.3f} without: {shown(helps)}; one chain with "
        f"memory {share(chain):.3f}: the tree's choice is worth {shown(chooses)}",
        (helps.low, helps.high),
        count,
        (0,),
    )
