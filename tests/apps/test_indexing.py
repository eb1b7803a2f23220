import json

import pytest

from cogitate.apps.cli import main

ROWS = [{"id": "a", "text": "red apples"}, {"id": "b", "text": "green pears", "context": "fruit"}]


@pytest.fixture
def passages(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def test_builds_and_asks(passages, tmp_path, capsys):
    out = tmp_path / "i"
    assert main(["index", "build", str(passages), "--kind", "tfidf", "--out", str(out)]) == 0
    assert "2 passages" in capsys.readouterr().out
    assert main(["index", "ask", str(out), "green ones", "--json"]) == 0
    [found] = json.loads(capsys.readouterr().out)
    assert (found["id"], found["context"]) == ("b", "fruit")
    assert main(["index", "ask", str(out), "zebra"]) == 0
    assert "nothing" in capsys.readouterr().out


def test_embeds_with_a_model(passages, tmp_path, capsys):
    pytest.importorskip("bm25s")
    out = tmp_path / "i"
    told = ["--model", "embedder=fake", "--json"]
    assert (
        main(["index", "build", str(passages), "--kind", "hybrid", "--out", str(out), *told]) == 0
    )
    assert json.loads(capsys.readouterr().out)["usage"]["calls"] == 1
    assert main(["index", "ask", str(out), "red", "--k", "1", *told]) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == "a"


def test_leaves_out_what_the_questions_hold(passages, tmp_path, capsys):
    questions = tmp_path / "q.jsonl"
    questions.write_text(json.dumps({"question": "Red apples!", "answer": "1"}) + "\n")
    out = tmp_path / "i"
    command = ["index", "build", str(passages), "--kind", "tfidf", "--out", str(out)]
    assert main([*command, "--without", str(questions), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["build", "PASSAGES", "--kind", "dense", "--out", "OUT"], "needs a model that embeds"),
        (["build", "nowhere.jsonl", "--out", "OUT"], "no such file"),
        (["ask", "OUT", "x"], "holds no index"),
    ],
)
def test_bad_input_is_one_sentence(command, said, passages, tmp_path, capsys):
    places = {"PASSAGES": str(passages), "OUT": str(tmp_path / "o")}
    assert main(["index", *(places.get(word, word) for word in command)]) != 0
    shown = capsys.readouterr()
    assert said in " ".join((shown.out + shown.err).split())
