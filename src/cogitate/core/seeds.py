"""Seeds are addresses: derived by label, so that results do not depend on scheduling."""

from __future__ import annotations

import hashlib
import random  # noqa: TID251  (the one place that turns a seed into a generator)
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Seed:
    """A node in the tree of randomness; equal labels give equal seeds.

    >>> Seed(0).at("sample", 3) == Seed(0).at("sample").at(3)
    True
    >>> Seed(0).at("sample", 3).int() == Seed(0).at("sample", 4).int()
    False
    """

    root: int
    path: tuple[str | int, ...] = ()

    def at(self, *labels: str | int) -> Seed:
        """The seed below this one with these labels."""
        return Seed(self.root, self.path + labels)

    def int(self) -> int:
        """A number of 52 bits, so that it survives JSON in every language."""
        text = repr((self.root, self.path)).encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 12

    def rng(self) -> random.Random:
        """A fresh generator; its use does not consume the seed."""
        return random.Random(self.int())
