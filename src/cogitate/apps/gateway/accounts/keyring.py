"""The keys in the database, and a copy of them in memory that no request has to wait for."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, or_, select, update

from cogitate.core.errors import InvalidInput

from .keys import Issued, Key, digest, fresh, presented, same
from .quotas import Quota
from .refusals import Unauthorised
from .tables import KEYS, META

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection, RowMapping

_LONGEST_NAME: Final = 100
_NOBODY: Final = "0" * 64
_MOST_CONCURRENCY: Final = 1_000_000


def add(
    connection: Connection,
    name: str,
    *,
    quotas: Sequence[Quota] = (),
    concurrency: int | None = None,
    models: Sequence[str] = (),
    strategies: Sequence[str] = (),
    expires_at: float | None = None,
    now: float,
) -> Issued:
    """Make a key.

    Raises:
        InvalidInput: where a usable key has that name, or a bound makes no sense.
    """
    _check(name, concurrency, expires_at, now)
    taken = connection.execute(select(KEYS).where(KEYS.c.name == name)).mappings().all()
    if any(_key(row).usable(now) for row in taken):
        raise InvalidInput(
            f"a key named {name!r} exists; revoke it first, or give the new one another name"
        )
    public, secret = fresh()
    key = Key(
        public, name, tuple(quotas), concurrency, tuple(models), tuple(strategies), now, expires_at
    )
    connection.execute(
        insert(KEYS).values(
            id=public,
            name=name,
            hash=digest(secret),
            quotas=json.dumps([str(quota) for quota in key.quotas]),
            concurrency=concurrency,
            models=json.dumps(key.models),
            strategies=json.dumps(key.strategies),
            created_at=now,
            expires_at=expires_at,
            revision=_changed(connection),
        )
    )
    return Issued(key, secret)


def revoke(connection: Connection, which: str, now: float) -> Key:
    """Revoke the key of this id or name; one that is revoked already stays so.

    Raises:
        InvalidInput: where there is none.
    """
    key = find(connection, which)
    if key.revoked_at is None:
        values = {"revoked_at": now, "revision": _changed(connection)}
        connection.execute(update(KEYS).where(KEYS.c.id == key.id).values(values))
    return find(connection, key.id)


def find(connection: Connection, which: str) -> Key:
    """The key of this id or name; of several with one name, the usable or newest one.

    Raises:
        InvalidInput: where there is none.
    """
    if presented(f"Bearer {which}") is not None:
        raise InvalidInput(
            "a whole key was given; name it by its id, the twelve characters after cog_, or by its name"
        )
    rows = connection.execute(
        select(KEYS)
        .where(or_(KEYS.c.id == which, KEYS.c.name == which))
        .order_by(KEYS.c.revoked_at.is_not(None), KEYS.c.created_at.desc())
    )
    row = rows.mappings().first()
    if row is None:
        raise InvalidInput(
            f"there is no key {which!r}; `cogitate keys list` shows ids and names of all"
        )
    return _key(row)


def every(connection: Connection) -> list[Key]:
    """All keys, the oldest first."""
    rows = connection.execute(select(KEYS).order_by(KEYS.c.created_at, KEYS.c.id))
    return [_key(row) for row in rows.mappings()]


class Keyring:
    """A copy of the keys in memory; `refresh` brings it up to date with one small question."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Key, str]] = {}
        self._seen = -1
        self._looked_at = time.monotonic()

    @property
    def age_s(self) -> float:
        """How long ago it was last known to be up to date."""
        return time.monotonic() - self._looked_at

    def __len__(self) -> int:
        return len(self._kept)

    def knows(self, public: str) -> bool:
        """Whether there is a key of this id."""
        return public in self._kept

    def refresh(self, connection: Connection) -> bool:
        """Take in what changed; returns whether anything did."""
        looked_at = time.monotonic()
        now = int(connection.scalar(select(META.c.value).where(META.c.name == "keys")) or 0)
        self._looked_at = looked_at
        if now == self._seen:
            return False
        changed = select(KEYS).where(KEYS.c.revision > self._seen)
        found = {
            row["id"]: (_key(row), row["hash"]) for row in connection.execute(changed).mappings()
        }
        # One assignment: requests in other threads see the old copy or the new one.
        self._kept = {**self._kept, **found}
        self._seen = now
        return True

    def identify(self, authorization: str | None, now: float) -> Key:
        """Whose key an `Authorization` header holds.

        Raises:
            Unauthorised: without saying which part of it is wrong; only a right key learns that it expired.
        """
        given = presented(authorization)
        if given is None:
            raise Unauthorised(
                "no key was sent, or not as `Authorization: Bearer cog_…`; ask for one where this gateway "
                "is run"
            )
        key, kept = self._kept.get(given[0], (None, _NOBODY))
        if not same(given[1], kept) or key is None:
            raise Unauthorised("the key is not known here")
        if key.revoked_at is not None:
            raise Unauthorised(f"the key {key.id} was revoked")
        if not key.usable(now):
            raise Unauthorised(f"the key {key.id} has expired")
        return key

    def usable(self, public: str, now: float) -> bool:
        """Whether a key that was identified is still good."""
        found = self._kept.get(public)
        return found is not None and found[0].usable(now)


def _changed(connection: Connection) -> int:
    # The row stays locked until the end of the transaction, so revisions become visible in their order.
    more = update(META).where(META.c.name == "keys").values(value=META.c.value + 1)
    connection.execute(more)
    return int(connection.scalar(select(META.c.value).where(META.c.name == "keys")) or 0)


def _key(row: RowMapping) -> Key:
    return Key(
        row["id"],
        row["name"],
        tuple(Quota.read(text) for text in json.loads(row["quotas"])),
        row["concurrency"],
        tuple(json.loads(row["models"])),
        tuple(json.loads(row["strategies"])),
        row["created_at"],
        row["expires_at"],
        row["revoked_at"],
    )


def _check(name: str, concurrency: int | None, expires_at: float | None, now: float) -> None:
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise InvalidInput(
            f"a key named {name!r} was asked for; a name has 1 to {_LONGEST_NAME} printable characters"
        )
    if presented(f"Bearer {name}") is not None:
        raise InvalidInput("a whole key was given as a name; names are shown and stored in clear")
    if concurrency is not None and not 1 <= concurrency <= _MOST_CONCURRENCY:
        raise InvalidInput(f"{concurrency} requests at once were asked for; at least 1 is needed")
    if expires_at is not None and expires_at <= now:
        raise InvalidInput("a key that has already expired was asked for; name a day to come")
