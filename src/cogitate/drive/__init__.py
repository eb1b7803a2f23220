"""Drivers: who serves what a flow asks, and how it is journaled."""

from .batch import Run, run
from .blobs import BlobStore
from .cache import ReplyCache
from .concurrent import run_async
from .failover import Breaker, Endpoints
from .journal_file import FileJournal
from .lanes import Retry
from .prefixes import PrefixTokens
from .replaying import replay
from .routing import Router
from .stopping import Stop

__all__ = [
    "BlobStore",
    "Breaker",
    "Endpoints",
    "FileJournal",
    "PrefixTokens",
    "ReplyCache",
    "Retry",
    "Router",
    "Run",
    "Stop",
    "replay",
    "run",
    "run_async",
]
