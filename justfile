# The commands a developer needs. `just --list` shows them.

# run the tests
test *ARGS:
    python -m pytest -q {{ARGS}}

# lint, format check and types
lint:
    ruff check .
    ruff format --check .
    mypy

# format and apply safe fixes
format:
    ruff check --fix .
    ruff format .

# regenerate the generated documents
documents:
    python -m bgsim.datasheet.document

# everything that must be green before a merge
ci:
    .ci/run
