# `just check`, `just test`, `just slow`; CI runs `.ci/run`, which does the same in fresh environments.

check:
    ruff check .
    ruff format --check .
    basedpyright
    lint-imports

format:
    ruff format .
    ruff check --fix .

test *arguments:
    pytest {{arguments}}

slow:
    pytest -m slow
