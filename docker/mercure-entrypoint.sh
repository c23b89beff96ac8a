#!/bin/sh
# Denoises what mercure hands over. "options" of the settings are options of `meddenoise denoise`:
#     {"options": "--method direct --strength 0.8"}
set -eu
options=$(python3 - "$MERCURE_IN_DIR/task.json" <<'END'
import json, sys
try:
    with open(sys.argv[1]) as task:
        print((json.load(task).get("process") or {}).get("settings", {}).get("options", ""))
except FileNotFoundError:
    pass
END
)
# shellcheck disable=SC2086  # several words on purpose; no word is a pattern
set -f
exec meddenoise denoise "$MERCURE_IN_DIR" -o "$MERCURE_OUT_DIR" --no-report --no-resume $options
