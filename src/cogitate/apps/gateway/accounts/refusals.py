"""Why a request is not let in, in the words and numbers of HTTP."""

from __future__ import annotations

import math
from typing import ClassVar

from cogitate.core.errors import CogitateError


class Refusal(CogitateError):
    """A request is not let in. Its text may be shown to the client; it never holds a key."""

    status: ClassVar[int] = 403
    """The status to answer with."""
    code: str = "refused"
    """The word for programs, as in the `code` of an OpenAI error."""

    def __init__(self, reason: str, retry_after_s: float | None = None) -> None:
        """Describe the refusal.

        Args:
            reason: one sentence for the client.
            retry_after_s: after how long the same request may be let in; `None`: waiting does not help.
        """
        super().__init__(reason)
        self.reason, self.retry_after_s = reason, retry_after_s

    def __str__(self) -> str:
        return self.reason

    @property
    def headers(self) -> dict[str, str]:
        """The headers that belong to the answer: `Retry-After` in whole seconds, where waiting helps.

        >>> QuotaExceeded("spent", 12.2).headers
        {'Retry-After': '13'}
        """
        if self.retry_after_s is None:
            return {}
        return {"Retry-After": str(max(1, math.ceil(self.retry_after_s)))}


class Unauthorised(Refusal):
    """No key, or none that is valid: unknown, revoked or expired."""

    status = 401
    code = "invalid_api_key"

    @property
    def headers(self) -> dict[str, str]:
        """How to authenticate."""
        return {"WWW-Authenticate": "Bearer"}


class Forbidden(Refusal):
    """The key is valid and may not do this."""

    status = 403
    code = "not_allowed"


class QuotaExceeded(Refusal):
    """A quota of the key does not bear what the request may cost at most."""

    status = 429

    @property
    def code(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        """`rate_limit_exceeded` where waiting helps, `insufficient_quota` where it does not."""
        return "insufficient_quota" if self.retry_after_s is None else "rate_limit_exceeded"


class Overloaded(Refusal):
    """The gateway serves as many requests as it may, and enough of them wait; or its accounts are away."""

    status = 503
    code = "overloaded"
