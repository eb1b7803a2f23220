from __future__ import annotations

from pathlib import Path

import pytest

from cogitate.assembly import configuration
from cogitate.assembly.configuration import Endpoint, Price, load
from cogitate.core.errors import InvalidInput
from cogitate.core.usage import Budget

FULL = """
model = "small"
strategy = "best_of(n=4)"
[aliases]
small = "smollm2"
[roles]
judge = "office"
[budget]
tokens_out = 4096
usd = 0.5
[endpoints.office]
base_url = "http://office.example:8000/v1"
model = "large"
key_variable = "OFFICE_KEY"
price = { input = 1, output = 2.5 }
[prices."other"]
input = 0
output = 0
"""


@pytest.fixture(autouse=True)
def _no_file_of_the_users_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_, **__: str(tmp_path / "none"))


def written(directory: Path, text: str, name: str = "cogitate.toml") -> Path:
    path = directory / name
    path.write_text(text, encoding="utf-8")
    return path


def told(directory: Path, text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        load(written(directory, text), environment={})
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_everything_in_the_file_is_in_force(tmp_path: Path) -> None:
    path = written(tmp_path, FULL)
    found = load(environment={"OFFICE_KEY": " abc "}, directory=tmp_path)
    assert found.path == path
    assert (found.model, found.strategy) == ("small", "best_of(n=4)")
    assert found.budget == Budget(tokens_out=4096, usd=0.5)
    assert found.roles == {"judge": "office"}
    assert found.endpoints["office"] == Endpoint(
        "office", "http://office.example:8000/v1", "large", "OFFICE_KEY", "", Price(1.0, 2.5)
    )
    assert found.prices["other"] == Price(0.0, 0.0)
    assert found.key("OFFICE_KEY") == "abc"


def test_every_value_remembers_its_source(tmp_path: Path) -> None:
    path = written(tmp_path, FULL)
    found = load(
        path,
        environment={"COGITATE_MODEL": "fake", "COGITATE_TOKENS": "10", "OFFICE_KEY": "s3cret"},
    )
    rows = {name: (value, source) for name, value, source in found.rows()}
    assert rows["model"] == ("fake", "environment COGITATE_MODEL")
    assert rows["budget.tokens_out"] == ("10", "environment COGITATE_TOKENS")
    assert rows["budget.usd"] == ("0.5", str(path))
    assert rows["endpoints.office.base_url"][1] == str(path)
    assert rows["key OFFICE_KEY"] == ("set", "environment OFFICE_KEY")
    assert found.budget.tokens_out == 10


def test_without_a_file_the_defaults_are_shown(tmp_path: Path) -> None:
    rows = load(environment={"COGITATE_USD": "2"}, directory=tmp_path).rows()
    assert ("model", "smollm2", "default") in rows
    assert ("budget.usd", "2.0", "environment COGITATE_USD") in rows
    assert ("budget", "no bound", "default") not in rows
    assert rows[0][0] == "file"
    path = written(tmp_path, "model = 'fake'")
    assert load(environment={}, directory=tmp_path).rows()[0] == (
        "file",
        str(path),
        "working directory",
    )


def test_keys_are_shown_nowhere(tmp_path: Path) -> None:
    found = load(written(tmp_path, FULL), environment={"OFFICE_KEY": "s3cret-value"})
    assert "s3cret" not in repr(found) + str(found.rows())


def test_the_file_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, here, named = tmp_path / "own", tmp_path / "here", tmp_path / "named.toml"
    own.mkdir()
    here.mkdir()
    monkeypatch.setattr("platformdirs.user_config_dir", lambda *_, **__: str(own))
    assert load(environment={}, directory=here).path is None
    written(own, 'model = "own"')
    assert load(environment={}, directory=here).model == "own"
    written(here, 'model = "here"')
    assert load(environment={}, directory=here).model == "here"
    named.write_text('model = "named"')
    assert load(environment={"COGITATE_CONFIG": str(named)}, directory=here).model == "named"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modle = 'x'", "has no setting 'modle'; did you mean model?"),
        ("model = 3", "needs a string at model"),
        ("aliases = 3", "needs a table at aliases"),
        ("[roles]\njugde = 'x'", "has no role 'jugde'; did you mean judge?"),
        ("[budget]\ntoken_out = 3", "did you mean tokens_out?"),
        ("[budget]\ntokens_out = 0", "must be a whole number above 0"),
        ("[budget]\ncalls = 2.5", "must be a whole number above 0"),
        ("[budget]\nusd = -1", "must be a number above 0"),
        ("[budget]\nseconds = nan", "must be a number above 0"),
        ("[budget]\ncalls = true", "must be a whole number above 0"),
        ("[endpoints.a]\nbase_url = 'http://x/v1'", "lacks model in endpoints.a"),
        ("[endpoints.a]\nbase_url = 'x/v1'\nmodel='m'", "is not a web address"),
        ("[endpoints.a]\nbase_url = 'http://x:99999/v1'\nmodel='m'", "is not a web address"),
        ("[endpoints.a]\nbase_url = 'http://x/v1'\nmodel='m'\nurl='u'", "has no setting 'url'"),
        ("[prices.m]\ninput = 1", "needs input and output"),
        ("[prices.m]\ninput = 1\noutput = 1\ncache = 1", "did you mean cached?"),
        ("model = ", "is not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_told(tmp_path: Path, text: str, said: str) -> None:
    assert said in told(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "[endpoints.a]\nbase_url='http://x/v1'\nmodel='m'\napi_key='sekret-1'",
        "[endpoints.a]\nbase_url='http://x/v1'\nmodel='m'\nkey='sekret-1'",
        "password = 'sekret-1'",
        "[endpoints.a]\nbase_url='http://me:sekret-1@x/v1'\nmodel='m'",
        "[endpoints.a]\nbase_url='http://x/v1?key=sekret-1'\nmodel='m'",
        "[endpoints.a]\nbase_url='http://x/v1'\nmodel='m'\nkey_variable='sekret-1'",
        "model = 'sk-sekret-1sekret-1sekret-1'",
    ],
)
def test_keys_in_the_file_are_refused_without_repeating_them(tmp_path: Path, text: str) -> None:
    message = told(tmp_path, text)
    assert "sekret" not in message
    assert "environment variable" in message


def test_a_missing_file_that_was_named_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="there is no configuration file"):
        load(environment={"COGITATE_CONFIG": str(tmp_path / "none.toml")})
    with pytest.raises(InvalidInput, match="cannot be read"):
        load(tmp_path, environment={})
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidInput, match="is not TOML"):
        load(tmp_path / "b.toml", environment={})


@pytest.mark.parametrize("value", ["0", "-3", "many", "1e999", "2.5"])
def test_a_bad_environment_budget_is_told(value: str) -> None:
    with pytest.raises(InvalidInput, match="environment variable COGITATE_TOKENS"):
        load(
            environment={"COGITATE_TOKENS": value, "COGITATE_CONFIG": ""},
            directory=Path("/nonexistent"),
        )


def test_every_documented_variable_is_read(tmp_path: Path) -> None:
    for variable in configuration.VARIABLES:
        if variable == "COGITATE_CONFIG":
            continue
        found = load(environment={variable: "7"}, directory=tmp_path)
        assert any(source == f"environment {variable}" for _, _, source in found.rows()), variable


def test_unisolated_execution_is_off_unless_it_is_said(tmp_path: Path) -> None:
    path = tmp_path / "cogitate.toml"
    path.write_text("[sandbox]\nallow_unisolated_execution = true\n")
    assert not load(environment={}, directory=tmp_path / "none").allows_unisolated_execution
    assert load(path, environment={}).allows_unisolated_execution
    allowed = load(environment={}, directory=tmp_path / "none").allowing_unisolated_execution()
    assert allowed.allows_unisolated_execution
    assert allowed.settings["sandbox.allow_unisolated_execution"].source == "the caller"
    for wrong in ("allow = true", 'allow_unisolated_execution = "yes"'):
        path.write_text(f"[sandbox]\n{wrong}\n")
        with pytest.raises(InvalidInput, match="allow_unisolated_execution = true or false"):
            load(path, environment={})
