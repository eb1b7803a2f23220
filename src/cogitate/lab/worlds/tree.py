"""The tree world: a tree of choices with one planted best leaf, for searches that must find it.

Every level offers the same number of branches, which the policy takes alike. The score of a place is the share of
the planted path that it keeps, mixed with noise that means nothing: at `guidance` 1 every step towards the optimum
shows, at 0 nothing shows before the leaf itself.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from cogitate.core.errors import InvalidInput
from cogitate.core.requests import Generate, ScoreSteps
from cogitate.core.task import Task

from .chain import draw
from .serving import address_of, found_in

_QUESTION: Final = re.compile(
    r"Tree (\d{1,9}) of (\d{1,2}) levels with (\d{1,2}) branches at each: which leaf is the best\?"
)
_TAKEN: Final = re.compile(r"Level (\d{1,2}): take branch (\d{1,2})\.")
_LEAF: Final = re.compile(r"####[ \t]*\d{1,30}(?!\d)")


@dataclass(frozen=True)
class TreeWorld:
    """The parameters of a tree world.

    >>> TreeWorld(branching=2, depth=3).chance
    0.125
    """

    branching: int = 3
    depth: int = 4
    guidance: float = 0.7
    """Share of a score that tells how far a place keeps the planted path; the rest is noise."""
    seed: int = 0
    """Of the planted paths and the noise."""

    def __post_init__(self) -> None:
        if not (1 <= self.branching <= 20 and 1 <= self.depth <= 20 and 0 <= self.guidance <= 1):
            raise InvalidInput(
                f"branching={self.branching}, depth={self.depth} and guidance={self.guidance} were asked for; "
                "a tree has 1 to 20 branches and levels, guidance lies between 0 and 1"
            )

    @property
    def chance(self) -> float:
        """The chance that one sample ends at the planted leaf."""
        return float(self.branching) ** -self.depth

    @property
    def fingerprint(self) -> str:
        """What would change the answers: every parameter."""
        return f"sim:tree({self!r})"

    def says(self, request: Generate) -> str:
        """The choices that are missing, each taken alike, and the number of the leaf."""
        tree = self._tree(request)
        begun = request.prompt.prefill
        if _LEAF.search(begun):
            return ""
        path = tree.path(begun)
        address, lines = address_of(request), list[str]()
        while len(path) < tree.depth:
            path.append(int(draw(f"{address}|{len(path)}") * tree.branching))
            lines.append(f"Level {len(path)}: take branch {path[-1] + 1}.\n\n")
        return "".join([*lines, f"#### {tree.leaf(path)}"])

    def scores(self, request: ScoreSteps) -> tuple[float, ...]:
        """How good the place after each step is; 1 at the planted leaf and nowhere else."""
        tree = self._tree(request)
        text, found = request.prompt.prefill, list[float]()
        for step in request.steps:
            text += step + "\n\n"
            found.append(self.value(tree, tree.path(text)))
        return tuple(found)

    def value(self, tree: Tree, path: list[int]) -> float:
        """The score of a place: below 1 everywhere but at the planted leaf."""
        best = tree.planted(self)
        kept = next((k for k, (a, b) in enumerate(zip(path, best)) if a != b), len(path))  # noqa: B905
        if kept == tree.depth:
            return 1.0
        noise = 0.9 * draw(f"{self.seed}|value|{tree.question}|{path}")
        return self.guidance * kept / tree.depth + (1 - self.guidance) * noise

    def _tree(self, request: Generate | ScoreSteps) -> Tree:
        found = found_in(request.prompt, _QUESTION, Tree(1, 4, 3).question)
        return Tree(int(found[1]), int(found[2]), max(1, int(found[3])))


@dataclass(frozen=True, slots=True)
class Tree:
    """One problem of the world."""

    number: int
    depth: int
    branching: int

    @property
    def question(self) -> str:
        """The text; all that the world needs to know is in it."""
        return (
            f"Tree {self.number} of {self.depth} levels with {self.branching} branches at each: "
            "which leaf is the best?"
        )

    @property
    def task(self) -> Task:
        """What a strategy is asked; the answer is not in it."""
        return Task.of(self.question, kind="number")

    def planted(self, world: TreeWorld) -> list[int]:
        """The branches that lead to the best leaf, from 0."""
        return [
            int(draw(f"{world.seed}|planted|{self.question}|{level}") * self.branching)
            for level in range(self.depth)
        ]

    def gold(self, world: TreeWorld) -> str:
        """The number of the best leaf, for grading."""
        return str(self.leaf(self.planted(world)))

    def leaf(self, path: list[int]) -> int:
        """The number of a leaf, from 0.

        >>> Tree(1, 2, 3).leaf([1, 2])
        5
        """
        number = 0
        for branch in path:
            number = number * self.branching + branch
        return number

    def path(self, text: str) -> list[int]:
        """The branches that a text takes, from 0, up to the first that does not follow."""
        found: list[int] = []
        for level, branch in _TAKEN.findall(text):
            in_order = int(level) == len(found) + 1 <= self.depth
            if not (in_order and 1 <= int(branch) <= self.branching):
                break
            found.append(int(branch) - 1)
        return found


def trees(world: TreeWorld, count: int, seed: int = 0) -> tuple[Tree, ...]:
    """Problems of a world; the first of a longer list are those of a shorter one.

    >>> trees(TreeWorld(), 1)[0].question
    'Tree 0 of 4 levels with 3 branches at each: which leaf is the best?'

    Raises:
        InvalidInput: for a negative count, or a seed that is negative or above 999.
    """
    if count < 0 or not 0 <= seed < 1000:
        raise InvalidInput(
            f"{count} problems of seed {seed} were asked for; seeds lie between 0 and 999"
        )
    return tuple(
        Tree(seed * 1_000_000 + number, world.depth, world.branching) for number in range(count)
    )
