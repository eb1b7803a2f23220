"""The nodes of a machine's tree of flows."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from ._streams import Stream


_PATIENCE = 100
"""How often a flow whose cleanup awaits is told again to end."""


class Node:
    """One running flow."""

    # Mutable on purpose: this is the machine's own state, and there is one for every flow that runs.
    __slots__ = (
        "account",
        "alive",
        "asking",
        "children",
        "codec",
        "count",
        "deliver",
        "flow",
        "holds",
        "order",
        "owns_account",
        "owns_stream",
        "parent",
        "path",
        "stream",
    )

    def __init__(
        self,
        path: str,
        order: tuple[int, ...],
        flow: Coroutine[Any, Any, Any],
        parent: Node | None,
        account: str,
        stream: Stream,
    ) -> None:
        self.path, self.order, self.flow, self.parent = path, order, flow, parent
        self.account, self.stream = account, stream
        self.children: dict[Node, None] = {}
        self.count = 0
        self.alive = True
        self.asking: str | None = None
        self.holds: dict[str, None] = {}
        self.owns_account = False
        self.owns_stream = False
        self.codec: Any = None
        self.deliver: Callable[[Node, Any, BaseException | None], None]

    def tick(self) -> int:
        """The next number of this flow's counter."""
        count, self.count = self.count, self.count + 1
        return count

    def child(self, number: int, index: int, flow: Coroutine[Any, Any, Any]) -> Node:
        """A child at `number/index` below this node."""
        path = f"{self.path}/{number}/{index}" if self.path else f"{number}/{index}"
        made = Node(path, (*self.order, number, index), flow, self, self.account, self.stream)
        self.children[made] = None
        return made


def orphans(root: Node) -> Iterator[Node]:
    """The nodes of a subtree, each after its children."""
    before: list[Node] = [root]
    found: list[Node] = []
    while before:
        node = before.pop()
        found.append(node)
        before.extend(node.children)
    return reversed(found)


def discard(flow: Coroutine[Any, Any, Any]) -> None:
    """Close a coroutine, and the coroutines it was handed if it never began.

    Raises:
        RuntimeError: when its cleanup awaits; it is closed all the same.
    """
    if inspect.getcoroutinestate(flow) == inspect.CORO_CREATED:
        handed: dict[str, Any] = inspect.getcoroutinelocals(cast(Any, flow))
        for held in handed.values():
            for inner in cast(Any, held) if isinstance(held, tuple | list) else (held,):
                if inspect.iscoroutine(inner):
                    discard(inner)
    awaited: RuntimeError | None = None
    for _ in range(_PATIENCE):
        try:
            flow.close()
        except RuntimeError as error:
            if "ignored GeneratorExit" not in str(error):
                raise
            awaited = error
        else:
            break
    if awaited is not None:
        name = getattr(flow, "__qualname__", "a flow")
        raise RuntimeError(
            f"{name} awaits while it is being cancelled; cleanup may not await"
        ) from awaited
