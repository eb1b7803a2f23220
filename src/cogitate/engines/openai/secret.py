"""A key that cannot be printed by accident."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from cogitate.core.errors import InvalidInput


class Secret:
    """An API key: it names the variable it came from and shows its value only to `reveal`.

    It has no useful `repr`, cannot be pickled, copied into JSON or compared by value, and `scrub`
    takes it out of text that a server sent back.

    >>> key = Secret("sk-123", "OPENAI_API_KEY")
    >>> key, f"{key}", key.scrub("bad key sk-123")
    (Secret(OPENAI_API_KEY), 'Secret(OPENAI_API_KEY)', 'bad key [key]')
    """

    __slots__ = ("__value", "name")

    name: str
    """The environment variable it came from; safe to show."""

    def __init__(self, value: str, name: str = "key") -> None:
        """Hold a key.

        Args:
            value: the key itself; visible ASCII without spaces.
            name: what to call it in messages, such as its environment variable.

        Raises:
            InvalidInput: for an empty key or one that could not stand in an HTTP header.
        """
        if not value or not all(33 <= ord(c) <= 126 for c in value):
            raise InvalidInput(
                f"the key in {name} is empty or holds spaces, line ends or other characters that no "
                "HTTP header may hold; set it again without them"
            )
        self.__value = value
        self.name = name

    @classmethod
    def named(cls, name: str, environment: Mapping[str, str]) -> Secret | None:
        """The key in this variable of an environment, without surrounding space; `None` if unset."""
        value = environment.get(name, "").strip()
        return cls(value, name) if value else None

    def reveal(self) -> str:
        """The key itself; for the one line that puts it into a header."""
        return self.__value

    def scrub(self, text: str) -> str:
        """The text with the key taken out."""
        return text.replace(self.__value, "[key]")

    def __repr__(self) -> str:
        return f"Secret({self.name})"

    __str__ = __repr__

    def __reduce__(self) -> str | tuple[Any, ...]:
        return _refuse()

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        return _refuse()


def _refuse() -> NoReturn:
    raise TypeError("a Secret cannot be copied or pickled; pass the object itself")
