"""Strategies that end in one answer written from others, which a spec may name."""

from __future__ import annotations

from typing import Any, Final

from cogitate.assembly import factory
from cogitate.assembly.factory import A_PROCESS, A_SCORER, Factory

from .defaults import solve
from .parts import count
from .processes import answer


@factory.strategy
def fusion(
    kind: str,
    n: int = 4,
    show: int = 3,
    scorer: A_SCORER | None = None,
    process: A_PROCESS | None = None,
) -> Any:
    """Drafts, then one last answer that is shown the best of them; it can be streamed.

    Of the n drafts the scorer says which `show` are shown.
    """
    from cogitate.search import BestOf, Fusion
    from cogitate.search.fusion import check_fusible

    chosen = process or answer().for_kind(kind)
    check_fusible(chosen)
    search = Fusion(BestOf(count(n, "n")), count(show, "show"))
    return solve(kind, chosen, scorer, search)


FACTORIES: Final[tuple[Factory[...], ...]] = (fusion,)
