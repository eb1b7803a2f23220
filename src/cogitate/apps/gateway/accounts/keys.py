"""Keys: made of randomness, shown once, kept as a hash, known by a public part."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Final

from .quotas import Amounts, Quota, limits

PREFIX: Final = "cog_"
"""How every key begins, so that people and secret scanners know one."""

_ID_BYTES: Final = 6
_SECRET_BYTES: Final = 32
_FORM = re.compile(rf"{PREFIX}(?P<id>[0-9a-f]{{12}})_(?P<secret>[A-Za-z0-9_-]{{43}})")
_LONGEST: Final = 256


@dataclass(frozen=True)
class Key:
    """Who asks: everything about a key but its secret."""

    id: str
    """The public part; empty where keys are off."""
    name: str
    """What its owner calls it."""
    quotas: tuple[Quota, ...] = ()
    concurrency: int | None = None
    """Requests at once, those that wait for a slot included."""
    models: tuple[str, ...] = ()
    """Patterns of the models it may use, `*` and `?` as in file names; empty: all."""
    strategies: tuple[str, ...] = ()
    """Patterns of the strategies it may use; empty: all."""
    created_at: float = 0.0
    """Seconds of the epoch, as all times here."""
    expires_at: float | None = None
    revoked_at: float | None = None

    @cached_property
    def limits(self) -> tuple[tuple[str, Amounts], ...]:
        """What its quotas and its concurrency bound, by window; empty: nothing."""
        return limits(self.quotas, self.concurrency)

    def usable(self, now: float) -> bool:
        """Whether it is neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def allows(self, *, model: str, strategy: str) -> str:
        """What the key does not allow: `model`, `strategy`, or nothing.

        >>> Key("1", "ann", models=("small-*",)).allows(model="large", strategy="")
        'model'
        """
        if self.models and not any(fnmatchcase(model, pattern) for pattern in self.models):
            return "model"
        if self.strategies and not any(fnmatchcase(strategy, p) for p in self.strategies):
            return "strategy"
        return ""


ANYONE: Final = Key("", "anyone")
"""Who asks where keys are off."""


@dataclass(frozen=True)
class Issued:
    """A key just made; the only place where the secret is ever in clear."""

    key: Key
    secret: str = field(repr=False)
    """The whole key as the client sends it. Show it once; it cannot be found again."""


def fresh() -> tuple[str, str]:
    """A public id and a whole new key."""
    public = secrets.token_hex(_ID_BYTES)
    return public, f"{PREFIX}{public}_{secrets.token_urlsafe(_SECRET_BYTES)}"


def digest(secret: str) -> str:
    """What is kept of a key.

    Plain SHA-256, with neither salt nor stretching: those protect what people choose and others can guess.
    Here are 256 random bits; no dictionary holds them, and a slow hash would cost every request.
    """
    return hashlib.sha256(secret.encode()).hexdigest()


def same(secret: str, kept: str) -> bool:
    """Whether a key has this hash, in a time that does not tell how much of it is right."""
    return hmac.compare_digest(digest(secret), kept)


def presented(authorization: str | None) -> tuple[str, str] | None:
    """The public id and the whole key in an `Authorization` header, or `None` where there is none.

    >>> presented("Bearer " + "cog_" + "0" * 12 + "_" + "A" * 43)[0]
    '000000000000'
    >>> presented("Basic dXNlcg==") is None
    True
    """
    if authorization is None or len(authorization) > _LONGEST:
        return None
    scheme, _, text = authorization.strip().partition(" ")
    found = _FORM.fullmatch(text.strip()) if scheme.lower() == "bearer" else None
    return None if found is None else (found["id"], found.group())
