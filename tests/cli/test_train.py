"""`meddenoise train` from the command line: what it says where there is nothing left to do."""

from pathlib import Path

from tests.commands import run
from tests.training.noisy_training import noisy_folder

TINY = """
method = "direct"
modalities = ["DX"]
licence = "Apache-2.0"

[network]
name = "noise-unet"
channels = [8, 8]
blocks = [1, 1]
unshuffle = 2

[training]
batch = 2
patch = 32
validate_every = 100000
save_every = 100000
precision = "fp32"

[noise]

[[data]]
folder = "."
own = 0.0
"""


def test_a_budget_that_an_earlier_run_used_up_is_told(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY)
    data = noisy_folder(tmp_path / "data", sigma=0)
    command = ("train", "--recipe", tmp_path / "tiny.toml", "--data", data,
               "-o", tmp_path / "run", "--budget")  # fmt: skip
    first = run(*command, "3s")
    assert "nothing was trained" not in first.stderr
    weights = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    again = run(*command, "2s")
    words = "the budget of 2s is used up: nothing was trained; give more time with --budget."
    assert words in " ".join(again.stderr.split())
    assert (tmp_path / "run" / "checkpoint.safetensors").read_bytes() == weights
