#!/usr/bin/env bash
# Sets up a virtual environment with everything the tests need, and passes them: lint, types, tests.
set -euo pipefail
cd "$(dirname "$0")/.."

# The DICOM validator, archive, tools and browser some tests use; they are skipped without them.
install_tools() {
    local missing=""
    command -v dciodvfy >/dev/null || missing="dicom3tools"
    command -v storescu >/dev/null || missing="$missing dcmtk"
    command -v Orthanc >/dev/null || missing="$missing orthanc orthanc-dicomweb"
    command -v chromedriver >/dev/null || missing="$missing chromium chromium-driver"
    command -v slurmctld >/dev/null || missing="$missing slurmctld slurmd slurm-client munge"
    if [ -n "$missing" ] && command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        apt-get update -qq || true
        for package in $missing; do
            apt-get install -y -qq --no-install-recommends "$package" || true
        done
    fi
}

install_tools >/dev/null 2>&1 & # beside the packages of Python: both wait for the network
tools=$!
python3 -m venv .venv
.venv/bin/pip install --quiet --upgrade pip
# A CPU build of torch first, where one is to be had: the default build brings gigabytes of CUDA packages.
.venv/bin/pip install --quiet torch==2.13.0
.venv/bin/pip install --quiet --editable '.[dev]'
wait "$tools"
.venv/bin/ruff check .
.venv/bin/ruff format --check .
.venv/bin/mypy & # one process for long, as the tests begin
types=$!
failed=0
# A process for every core, each file in one of them: its fixtures are made once.
.venv/bin/pytest -n "$(nproc 2>/dev/null || echo logical)" --dist loadfile --no-loadscope-reorder "$@" || failed=$?
if ! wait "$types"; then
    echo "mypy found errors: they are above" >&2
    failed=1
fi
exit "$failed"
