"""The database: its tables, its version, and how it is opened.

Only what SQLite and PostgreSQL both know is used; what differs is in `opened`.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    select,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, NoSuchModuleError

from cogitate.core.errors import InvalidInput

if TYPE_CHECKING:
    from sqlalchemy.engine import Engine

VERSION: Final = 1
"""The schema that this code reads and writes."""

FILE_NAME: Final = "gateway.sqlite"
_BUSY_S: Final = 5.0
_LOCK: Final = 0x636F67  # "cog": a number that no other program is likely to have chosen
_OWNER_ONLY: Final = 0o600

METADATA: Final = MetaData()

# 64 bits everywhere, but SQLite counts rows by itself only under this very name of a type
_NUMBER = BigInteger().with_variant(Integer(), "sqlite")

META: Final = Table(
    "meta",
    METADATA,
    Column("name", String(40), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
"""`schema`: the version; `keys`: how often keys have changed, so that servers see it cheaply."""

KEYS: Final = Table(
    "keys",
    METADATA,
    Column("id", String(12), primary_key=True),
    Column("name", String(100), nullable=False),
    Column("hash", String(64), nullable=False),
    Column("quotas", Text, nullable=False),
    Column("concurrency", Integer),
    Column("models", Text, nullable=False),
    Column("strategies", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float),
    Column("revoked_at", Float),
    Column("revision", BigInteger, nullable=False),
)

COUNTERS: Final = Table(
    "counters",
    METADATA,
    Column("key_id", String(12), primary_key=True),
    Column("window", String(8), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    *(
        Column(f"{state}_{unit}", BigInteger, nullable=False, default=0)
        for state in ("used", "held")
        for unit in ("requests", "tokens", "tokens_out", "usd")
    ),
)
"""What a key has used and holds in a window; money in billionths of a dollar."""

HOLDS: Final = Table(
    "holds",
    METADATA,
    Column("process", String(16), primary_key=True),
    Column("key_id", String(12), primary_key=True),
    Column("window", String(8), primary_key=True),
    Column("start", BigInteger, primary_key=True),
    *(
        Column(unit, BigInteger, nullable=False)
        for unit in ("requests", "tokens", "tokens_out", "usd")
    ),
)
"""The parts of `held_…` by process, so that those of one that died can be given back."""

PROCESSES: Final = Table(
    "processes",
    METADATA,
    Column("id", String(16), primary_key=True),
    Column("alive_until", Float, nullable=False),
)

REQUESTS: Final = Table(
    "requests",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("id", String(64), nullable=False, index=True),
    Column("at", Float, nullable=False, index=True),
    Column("day", Integer, nullable=False),
    Column("key_id", String(12), nullable=False),
    Column("model", String(300), nullable=False),
    Column("strategy", String(300), nullable=False),
    Column("status", Integer, nullable=False),
    Column("requests", Integer, nullable=False),
    Column("tokens_in", BigInteger, nullable=False),
    Column("tokens_cached", BigInteger, nullable=False),
    Column("tokens_out", BigInteger, nullable=False),
    Column("tokens_reasoning", BigInteger, nullable=False),
    Column("calls", BigInteger, nullable=False),
    Column("usd", Float),
    Column("estimated", Boolean, nullable=False),
    Column("seconds", Float, nullable=False),
    Index("requests_of_key", "key_id", "at"),
)
"""The audit: one row a request; several that were refused for one reason at one time share a row."""

PROMPTS: Final = Table(
    "prompts",
    METADATA,
    Column("number", _NUMBER, primary_key=True, autoincrement=True),
    Column("request", String(64), nullable=False, index=True),
    Column("at", Float, nullable=False, index=True),
    Column("body", Text, nullable=False),
)


def default_path() -> Path:
    """Where the accounts lie where nobody says: in the user's data directory."""
    import platformdirs

    return Path(platformdirs.user_data_dir("cogitate", appauthor=False)) / FILE_NAME


def opened(where: str | Path | None, *, make: bool = True) -> Engine:
    """The database at an URL or a path, with the tables in it.

    Args:
        where: an URL of SQLAlchemy (`postgresql+psycopg://…`), a path, or `None` for `default_path()`.
        make: whether it may be made where it does not exist.

    Raises:
        InvalidInput: where it cannot be used; says why without the password in its URL.
    """
    url = _url(where)
    name = url.render_as_string(hide_password=True)
    try:
        engine = _sqlite(url, make) if url.get_backend_name() == "sqlite" else _server(url)
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise InvalidInput(
            f"the database {name} needs a driver that is not installed "
            f"({getattr(error, 'name', None) or url.drivername}); install it beside cogitate"
        ) from None
    try:
        _prepare(engine, name)
    except DatabaseError as error:
        engine.dispose()
        raise InvalidInput(f"the database {name} cannot be used: {reason_of(error)}") from None
    except BaseException:
        engine.dispose()
        raise
    return engine


def reason_of(error: Exception) -> str:
    """What a driver says, in one line, without passwords."""
    said = str(getattr(error, "orig", None) or error).strip() or type(error).__name__
    return re.sub(r"://[^@\s/]*@", "://***@", said.splitlines()[0])


def _url(where: str | Path | None) -> URL:
    if where is None or isinstance(where, Path) or "://" not in where:
        path = default_path() if where is None else Path(where).expanduser()
        return URL.create("sqlite", database=str(path))
    try:
        return make_url(where)
    except ArgumentError:
        raise InvalidInput(
            "the URL of the database cannot be read; it looks like sqlite:///path or "
            "postgresql+psycopg://user:password@host/name"
        ) from None


def _server(url: URL) -> Engine:
    engine = create_engine(url, hide_parameters=True, pool_pre_ping=True, pool_size=2)
    if engine.dialect.name == "postgresql":

        @event.listens_for(engine, "begin")
        def _(connection: Any) -> None:  # pyright: ignore[reportUnusedFunction]
            # One writer at a time, as SQLite has it: servers write rarely and briefly, and those that
            # touched the same rows in another order would block one another for a second.
            if not connection.get_execution_options().get("reads", False):
                connection.exec_driver_sql(f"select pg_advisory_xact_lock({_LOCK})")

    return engine


def _sqlite(url: URL, make: bool) -> Engine:
    if not url.database or url.database == ":memory:" or "mode=memory" in url.database:
        raise InvalidInput(
            "accounts in memory were asked for; they are shared by threads and processes, so name a file"
        )
    if not url.database.startswith("file:"):
        _own_file(Path(url.database), make)
    engine = create_engine(
        url,
        hide_parameters=True,
        connect_args={"timeout": _BUSY_S, "check_same_thread": False},
    )

    @event.listens_for(engine, "connect")
    def _(connection: Any, _record: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        connection.isolation_level = None  # `begin` below says when, and of which kind
        connection.execute("pragma journal_mode = wal")
        # A power cut may lose the last transactions, a kill never does: as good as the model server's bill.
        connection.execute("pragma synchronous = normal")

    @event.listens_for(engine, "begin")
    def _(connection: Any) -> None:  # pyright: ignore[reportUnusedFunction]
        # A transaction that reads first and writes later can fail on the way; one that begins as a writer waits.
        reads = connection.get_execution_options().get("reads", False)
        connection.exec_driver_sql("begin" if reads else "begin immediate")

    return engine


def _own_file(path: Path, make: bool) -> None:
    """An own file for its owner's eyes, before SQLite would make one for everybody's."""
    if not path.exists():
        if not make:
            raise InvalidInput(
                f"there are no accounts at {path}; `cogitate keys add NAME` makes them, and --db names "
                "others"
            )
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, _OWNER_ONLY))
    with contextlib.suppress(PermissionError):  # of another owner, who decides
        if path.stat().st_mode & 0o077:
            path.chmod(_OWNER_ONLY)


def _prepare(engine: Engine, name: str) -> None:
    """Make what is missing, or refuse what a newer version made."""
    with engine.execution_options(reads=True).begin() as connection:
        found = inspect(connection).has_table(META.name)
        version = (
            connection.scalar(select(META.c.value).where(META.c.name == "schema"))
            if found
            else None
        )
    if version is None:
        with engine.begin() as connection:
            _make(connection)
        with engine.execution_options(reads=True).begin() as connection:
            version = connection.scalar(select(META.c.value).where(META.c.name == "schema"))
    if version != VERSION:
        raise InvalidInput(
            f"the accounts at {name} have version {version} and this program knows {VERSION}; use the "
            "version of cogitate that made them, or newer, or name others with --db"
        )


def _make(connection: Any) -> None:
    METADATA.create_all(connection)
    if connection.scalar(select(META.c.value).where(META.c.name == "schema")) is None:
        connection.execute(
            insert(META), [{"name": "schema", "value": VERSION}, {"name": "keys", "value": 0}]
        )
