"""Runs a source as a program does: its own `__main__`, its own streams, its own exit status."""

from __future__ import annotations

import ast
import atexit
import json
import linecache
import os
import socket
import sys
import threading
import time
import traceback
from types import ModuleType
from typing import Any

from . import link as links
from .frames import HEADER

NAME = "<program>"
_SHOWN = 65536
"""Characters of a value shown."""


def run(source: str, role: str, secret: str, end: int, link: socket.socket | None) -> None:
    """Run a source to its end, tell so with the secret, and end the process."""
    streams()
    space = fresh_main()
    if role == "harness" and link is not None:
        space["program"] = links.Program(link)
    status, told = attempt(source, space, shown=False)
    if link is not None and role == "program" and told.get("finished"):
        sys.stdout.flush()
        links.serve(link, space)
    leave(status, told, secret, end)


def wait_for_cells(control: socket.socket) -> None:
    """Stand as a state: fork for each cell that continues it, until nobody wants it any more."""
    streams()
    space = fresh_main()
    while True:
        told, held, _, _ = socket.recv_fds(control, HEADER, 4)
        if not told:
            os._exit(0)
        child, output, errors, end = held
        source = control.recv(int.from_bytes(told, "big"), socket.MSG_WAITALL).decode(
            "utf-8", "surrogatepass"
        )
        if not _forked():
            for one in held:
                os.close(one)
            continue
        os.setpgid(0, 0)  # so that ending this state ends what it started, and no other state
        control.close()
        control = socket.socket(fileno=child)
        control.send(os.getpid().to_bytes(HEADER, "big"))
        os.dup2(output, 1)
        os.dup2(errors, 2)
        os.close(output)
        os.close(errors)
        streams()
        _cell(source, space, control, end)


def _forked() -> bool:
    """True in a new process whose parent is the warden, false in this one."""
    between = os.fork()
    if between:
        os.waitpid(between, 0)
        return False
    between = os.getpid()
    if os.fork():
        os._exit(0)
    while os.getppid() == between:  # the warden asks only its own children
        time.sleep(0.0001)
    return True


def _cell(source: str, space: dict[str, Any], control: socket.socket, end: int) -> None:
    """Run one cell; its state is what this process then is."""
    secret = control.recv(32, socket.MSG_WAITALL).decode()
    status, told = attempt(source, space, shown=True)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            status = status or 1
    os.write(end, (json.dumps(told | {"secret": secret, "status": status}) + "\n").encode())
    os.close(end)


def leave(status: int, told: dict[str, Any], secret: str, end: int) -> None:
    """Tell how it went, then end as an interpreter does."""
    finished = told | {"secret": secret}
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]
    except SystemExit:
        pass
    except BaseException:
        traceback.print_exc()
        status = status or 1
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            status = status or 1
    try:
        os.write(end, (json.dumps(finished) + "\n").encode())
    finally:
        os._exit(status & 0xFF)


def streams() -> None:
    """New text streams on the three descriptors; those of the fork server are left alone."""
    sys.stdin = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr  # type: ignore[misc]


def fresh_main() -> dict[str, Any]:
    """The namespace of a new `__main__`, with nothing of ours in reach by name."""
    module = ModuleType("__main__")
    module.__builtins__ = sys.modules["builtins"]  # type: ignore[attr-defined]
    module.__file__ = "program.py"
    sys.modules["__main__"] = module
    for name in [name for name in sys.modules if name.split(".")[0] == "inside"]:
        del sys.modules[name]
    sys.argv[:] = ["program.py"]
    sys.path[:] = [os.getcwd(), *(path for path in sys.path if path != sys.path[0])]
    return vars(module)


def attempt(source: str, space: dict[str, Any], *, shown: bool) -> tuple[int, dict[str, Any]]:
    """Run a source in a namespace; its exit status, and what may be told of it.

    With `shown`, the value of a last expression is told, as a notebook shows it.
    """
    told: dict[str, Any] = {}
    linecache.cache[NAME] = (len(source), None, source.splitlines(keepends=True), NAME)
    try:
        last = None
        if shown:
            tree = ast.parse(source, NAME)
            end = tree.body[-1] if tree.body else None
            if isinstance(end, ast.Expr):
                tree.body.pop()
                last = compile(ast.Expression(end.value), NAME, "eval")
            exec(compile(tree, NAME, "exec"), space)
        else:
            exec(compile(source, NAME, "exec", dont_inherit=True), space)
        if last is not None:
            value = eval(last, space)
            if value is not None:
                told["value"] = repr(value)[:_SHOWN]
                space["_"] = value
    except SystemExit as error:
        return _exit_status(error), told
    except BaseException as error:
        if isinstance(error, MemoryError):
            told["memory"] = True
        _print_error(error)
        return 1, told
    told["finished"] = True
    return 0, told


def _exit_status(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code
    sys.stderr.write(f"{error.code}\n")
    return 1


def _print_error(error: BaseException) -> None:
    """The traceback from the program's first line on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    try:
        traceback.print_exception(type(error), error, trace)
    except BaseException:
        os.write(2, f"{type(error).__name__}\n".encode())
