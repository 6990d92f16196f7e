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
    bgsim schema > schema/experiment.schema.json
    bgsim schema topology > schema/topology.schema.json
    bgsim characterize --update

# the documentation site, in docs/_build/html
site:
    python -m sphinx -W -q -b html docs docs/_build/html

# compare with measurements and regenerate the page and the summary in the README (about two minutes)
validate:
    bgsim validate --markdown docs/validation.md --markdown README.md

# everything that must be green before a merge
ci:
    .ci/run
