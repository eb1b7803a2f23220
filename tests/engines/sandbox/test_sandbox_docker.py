"""The Docker backend's command line and endings, against a stand-in for `docker` that runs Python right here."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from pathlib import Path

import pytest

from cogitate.core.errors import Failed
from cogitate.core.execute import Execute, ExecutionLimits, SourceFile
from cogitate.engines.sandbox.docker import DockerSandbox

STAND_IN = """#!{python}
import json, os, sys
with open({log!r}, "a") as file:
    file.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[1] == "rm":
    sys.exit(0)
if "broken" in sys.argv:
    sys.stderr.write("no such image")
    sys.exit(125)
os.chdir({box!r})
place = sys.argv.index("python")
os.execv(sys.executable, [sys.executable, *sys.argv[place + 1:]])
"""


@pytest.fixture
def docker(tmp_path: Path):
    box, log, command = tmp_path / "box", tmp_path / "log", tmp_path / "docker"
    box.mkdir()
    command.write_text(STAND_IN.format(python=sys.executable, log=str(log), box=str(box)))
    command.chmod(0o755)

    def ask(*args, image: str = "some", **known):
        engine = DockerSandbox(image=image, command=str(command))
        (reply,) = asyncio.run(engine.serve([Execute(*args, **known)]))
        if isinstance(reply, Failed):
            raise reply
        return reply.value

    ask.log = lambda: [json.loads(line) for line in log.read_text().splitlines()]
    return ask


def test_the_command_line_takes_everything_away(docker):
    docker("print(1)", limits=ExecutionLimits(memory_bytes=1 << 28, processes=7, tmp_bytes=4096))
    (said,) = docker.log()
    pairs = set(itertools.pairwise(said))
    assert {
        ("--network", "none"),
        ("--cap-drop", "ALL"),
        ("--security-opt", "no-new-privileges"),
        ("--user", "65534:65534"),
        ("--memory", str(1 << 28)),
        ("--memory-swap", str(1 << 28)),
        ("--pids-limit", "8"),
    } <= pairs
    assert "--read-only" in said
    assert "--rm" in said
    assert any(part.endswith("size=4096") for part in said)
    assert not {"-v", "--volume", "--mount", "--privileged"} & set(said)
    assert "print(1)" not in " ".join(said)


def test_a_run_comes_back(docker):
    source = "import sys\nprint(input(), open('d/a').read())\nsys.stderr.write('e')"
    done = docker(source, inputs=("x", "y"), files=(SourceFile("d/a", "f"),))
    assert [run.stdout for run in done.runs] == ["x f\n", "y f\n"]
    assert [run.stderr for run in done.runs] == ["e", "e"]
    assert done.passed


@pytest.mark.parametrize(
    ("source", "status", "ended"),
    [
        ("raise SystemExit(3)", 3, "error"),
        ("1/0", 1, "error"),
        ("import sys; sys.exit(0)", 0, "ok"),
    ],
)
def test_an_early_end_is_no_finish(docker, source, status, ended):
    run = docker(source).run
    assert (run.status, run.ended, run.finished) == (status, ended, False)


def test_endless_output_is_cut_and_the_container_removed(docker):
    run = docker("while True: print('x' * 99)", limits=ExecutionLimits(output_bytes=1000)).run
    assert (run.ended, len(run.stdout), run.truncated) == ("output", 1000, ("stdout",))
    assert docker.log()[-1][:2] == ["rm", "--force"]
    assert docker.log()[-1][2] in docker.log()[0]


def test_a_sleeper_is_ended(docker, monkeypatch):
    monkeypatch.setattr("cogitate.engines.sandbox.docker._START_S", 0.3)
    began = time.monotonic()
    run = docker("import time; time.sleep(60)", limits=ExecutionLimits(seconds=0.2)).run
    assert run.ended == "timeout"
    assert time.monotonic() - began < 10
    assert docker.log()[-1][0] == "rm"


def test_what_it_cannot_do_it_refuses(docker):
    for known in ({"harness": "x"}, {"cell": True}, {"language": "c++"}):
        with pytest.raises(Failed) as refusal:
            docker("x", **known)
        assert refusal.value.kind == "unsupported"
    with pytest.raises(Failed, match="no such image"):
        docker("x", image="broken")
    (missing,) = asyncio.run(DockerSandbox(command="/no/docker").serve([Execute("x")]))
    assert isinstance(missing, Failed)
    assert missing.kind == "refused"
