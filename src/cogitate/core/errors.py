"""What can go wrong, as exceptions that speak to the person who reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cogitate.core.usage import Usage


class CogitateError(Exception):
    """The root of every error this package raises on purpose."""


class OutOfBudget(CogitateError):
    """A request did not fit into the grant; raised at its `await`. Refusal is ordinary."""

    def __init__(
        self, unit: str = "", asked: float = 0, left: float = 0, account: str = ""
    ) -> None:
        super().__init__(unit, asked, left, account)
        self.unit, self.asked, self.left, self.account = unit, asked, left, account

    def __str__(self) -> str:
        if not self.unit:
            return "the budget is spent"
        where = f" of account {self.account!r}" if self.account else ""
        if self.asked != self.asked:
            return (
                f"the most that this can cost in {self.unit} is unknown, so it cannot be kept within the "
                f"{self.left:g} left{where}; name a price, or lift the bound on {self.unit}"
            )
        return f"asked for {self.asked:g} {self.unit}, but {self.left:g} are left{where}"


class Failed(CogitateError):
    """A request could not be served; raised at its `await`.

    A failed evaluation is never a crash and never a zero score: searches drop it, scorers return
    `Unscored`.
    """

    def __init__(
        self,
        reason: str,
        kind: str = "failed",
        *,
        transient: bool = False,
        retry_after_s: float | None = None,
        usage: Usage | None = None,
    ) -> None:
        """Describe the failure.

        Args:
            reason: one sentence for people; never contains a key.
            kind: a word for programs: `timeout`, `refused`, `rate_limited`, `malformed`, `cut`,
                `unserved`, `unsupported`, `missing`, `too_long`, `crashed`, `cancelled`.
            transient: whether the same request may succeed when sent again.
            retry_after_s: the server's own advice, in seconds.
            usage: what the failed attempt is known or estimated to have cost.
        """
        super().__init__(reason, kind)
        self.reason, self.kind = reason, kind
        self.transient, self.retry_after_s, self.usage = transient, retry_after_s, usage

    def __str__(self) -> str:
        return self.reason


class Stalled(CogitateError):
    """A flow waits for something that can never arrive."""


class ReplayMismatch(CogitateError):
    """The code asks something else than the journal recorded."""

    def __init__(self, address: str, was: str, now: str) -> None:
        super().__init__(address, was, now)
        self.address, self.was, self.now = address, was, now

    def __str__(self) -> str:
        return (
            f"at {self.address} the journal recorded {self.was}, but the code now asks {self.now}; "
            "a prompt, a parameter or the code has changed since. Resume with --from-mismatch to keep "
            "what matches, or start a new journal"
        )


class JournalError(CogitateError):
    """A journal cannot be read or written; the message says which record and what to do."""


class InvalidInput(CogitateError):
    """The caller asked for something that cannot be done; said before anything is spent."""
