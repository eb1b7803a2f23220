"""The example configuration is whole and can be served; the command says what it would do."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
httpx = pytest.importorskip("httpx")

from cogitate.apps.cli import main  # noqa: E402
from cogitate.apps.commands.serving import named  # noqa: E402
from cogitate.assembly import load  # noqa: E402
from cogitate.assembly.gateway_settings import GatewaySettings  # noqa: E402
from cogitate.core.usage import Budget  # noqa: E402

EXAMPLE = Path(__file__).parents[3] / "docs" / "cogitate.example.toml"


def test_the_example_can_be_served(capsys):
    assert main(["serve", "--check", "--json", "--config", str(EXAMPLE)]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["ok"] is True
    assert said["address"] == "http://127.0.0.1:8080/v1"
    assert "careful-qwen" in said["models"]
    assert "thorough@qwen" in said["models"]
    assert said["keys"] is False


def test_the_example_explains_every_setting_and_shows_the_defaults():
    text = EXAMPLE.read_text("utf-8")
    for field in fields(GatewaySettings):
        assert re.search(rf"(?m)^(# )?(\[gateway\.)?{field.name}\b", text), field.name
    held, default = load(EXAMPLE, environment={}).gateway, GatewaySettings()
    for field in fields(GatewaySettings):
        if field.name not in ("models", "strategies"):
            assert getattr(held, field.name) == getattr(default, field.name), field.name
    # What is commented out can be read, too.
    whole = re.sub(r"(?m)^# (\w+ = )", r"\1", text).replace("accounts_variable = ", "# ")
    assert "\njournals = " in whole
    assert held.most == Budget(tokens_out=131_072, calls=512, seconds=600)


def test_a_request_is_bounded_even_where_nothing_is_configured(tmp_path):
    file = tmp_path / "c.toml"
    file.write_text("[gateway.most]\ncalls = 7\n")
    most = load(file, environment={}).gateway.most
    assert most == Budget(tokens_out=131_072, calls=7, seconds=600)


def test_what_is_commented_out_in_the_example_can_be_read(tmp_path):
    text = re.sub(r"(?m)^# (\w+ = )", r"\1", EXAMPLE.read_text("utf-8"))
    file = tmp_path / "all.toml"
    file.write_text(text.replace("accounts_variable", "# "))
    held = load(file, environment={}).gateway
    assert held.strategy == "best_of(n=4)"
    assert held.accounts.startswith("sqlite:")


def test_the_command_line_names_models_and_refuses_to_be_open_by_accident(capsys, tmp_path):
    file = tmp_path / "c.toml"
    file.write_text('[gateway]\nmodels = ["fake"]\n')
    at = ["serve", "--check", "--config", str(file)]
    assert main([*at, "--json", "--model", "mine=best_of(n=2)@fake", "--strategy", "greedy"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["models"] == ["mine", "fake"]
    assert said["strategy"] == "greedy()"
    assert main([*at, "--host", "0.0.0.0"]) == 1
    assert "--without-keys" in capsys.readouterr().err
    assert main([*at, "--host", "0.0.0.0", "--without-keys"]) == 0
    assert main([*at, "--port", "70000"]) == 1
    assert main([*at, "--strategy", "best_off()"]) == 1
    assert main([*at, "--model", "x=nope(n=2)@fake"]) == 1
    file.write_text('[gateway]\naccounts_variable = "NOT_SET_HERE"\n')
    assert main(at) == 1
    assert "NOT_SET_HERE" in capsys.readouterr().err
    assert named("sim:arithmetic(skill=0.6)") == ("sim:arithmetic(skill=0.6)",) * 2


def test_the_command_serves_and_a_signal_ends_it_in_success(tmp_path):
    with httpx.Client() as client:
        command = [sys.executable, "-m", "cogitate", "serve", "--model", "fake", "--port", "0"]
        with_port = [*command[:-1], str(free_port())]
        process = subprocess.Popen(with_port, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
        try:
            url = f"http://127.0.0.1:{with_port[-1]}"
            end = time.monotonic() + 20
            while time.monotonic() < end:
                try:
                    assert client.get(f"{url}/health").json() == {"status": "ok"}
                    break
                except httpx.TransportError:
                    time.sleep(0.05)
            body = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
            assert client.post(f"{url}/v1/chat/completions", json=body).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
        finally:
            process.kill()
            process.communicate()


def free_port() -> int:
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]
