"""The sandbox does what a program, its tests and its inputs ask for."""

from __future__ import annotations

import asyncio

import pytest

from cogitate.core.errors import Failed, InvalidInput
from cogitate.core.execute import Execute, ExecutionLimits, SourceFile
from cogitate.core.requests import Grade, Reply

pytestmark = pytest.mark.usefixtures("isolated")


def test_a_program_reads_its_input_and_files(ask):
    ran = ask(
        "import sys; print(sys.stdin.read().upper(), open('data/é.txt').read(), end='')\n"
        "print('oops', file=sys.stderr)",
        stdin="héllo",
        files=(SourceFile("data/é.txt", "ñ\r\n"),),
    ).run
    assert (ran.stdout, ran.stderr, ran.status, ran.ended) == ("HÉLLO ñ\n", "oops\n", 0, "ok")
    assert ran.finished
