#!/usr/bin/env bash
# Sets up a virtual environment with everything the tests need, and passes them: lint, types, tests.
set -euo pipefail
cd "$(dirname "$0")/.."
python3 -m venv .venv
.venv/bin/pip install --quiet --upgrade pip
# A CPU build of torch first, where one is to be had: the default build brings gigabytes of CUDA packages.
.venv/bin/pip install --quiet torch==2.13.0
.venv/bin/pip install --quiet --editable '.[dev]'
missing=""
# The DICOM validator, archive, tools and browser some tests use; they are skipped without them.
command -v dciodvfy >/dev/null || missing="dicom3tools"
command -v storescu >/dev/null || missing="$missing dcmtk"
command -v Orthanc >/dev/null || missing="$missing orthanc orthanc-dicomweb"
command -v chromedriver >/dev/null || missing="$missing chromium chromium-driver"
if [ -n "$missing" ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    apt-get update -qq >/dev/null 2>&1 || true
    for package in $missing; do
        apt-get install -y -qq --no-install-recommends "$package" >/dev/null 2>&1 || true
    done
fi
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy
# A process for every core, each file in one of them: its fixtures are made once.
exec .venv/bin/pytest -n "$(nproc 2>/dev/null || echo logical)" --dist loadfile --no-loadscope-reorder "$@"
