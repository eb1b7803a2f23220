"""Drivers: who serves what a flow asks, and how it is journaled."""

from .batch import Run, run
from .blobs import BlobStore
from .journal_file import FileJournal
from .routing import Router

__all__ = ["BlobStore", "FileJournal", "Router", "Run", "run"]
