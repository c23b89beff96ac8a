#!/usr/bin/env bash
# Denoise every study folder below IN into OUT. Run it again after an interrupt or a failure: finished series
# are kept and skipped.
#
#     examples/nightly.sh IN OUT [any option of meddenoise denoise]
set -u
in=$1 out=$2
shift 2
mkdir -p "$out"
failed=0
for study in "$in"/*/; do
    name=$(basename "$study")
    meddenoise denoise "$study" -o "$out/$name" --json "$@" >>"$out/series.jsonl"
    case $? in
        0) ;;
        3) echo "$name: no image in it" >&2 ;;
        130 | 143) exit 130 ;;
        *) failed=$((failed + 1)) ;;
    esac
done
echo "$failed studies with failures; their reports name them" >&2
[ "$failed" -eq 0 ]
