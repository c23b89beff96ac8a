#!/usr/bin/env bash
# Sets up a virtual environment with everything the tests need, and passes them: lint, types, tests.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 -m venv .venv
.venv/bin/pip install --quiet --upgrade pip
# A CPU build of torch first, where one is to be had: the default build brings gigabytes of CUDA packages.
.venv/bin/pip install --quiet torch==2.13.0
.venv/bin/pip install --quiet --editable '.[dev]'
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ] && ! command -v dciodvfy >/dev/null; then
    # The DICOM validator some tests use; they are skipped without it.
    (apt-get update -qq && apt-get install -y -qq dicom3tools) >/dev/null 2>&1 || true
fi
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
exec .venv/bin/pytest "$@"
