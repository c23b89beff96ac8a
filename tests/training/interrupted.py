"""One tiny training, tried again and again: killed at given moments, short of disk, at last left alone.

    python interrupted.py FOLDER OUTPUT TRIES

TRIES is a JSON list; each has a process of its own, forked after the imports. A try is {"stage": NAME,
"at": N} (killed at step or target N of a stage), {"sync": N} (killed while the N-th file is being written),
{"packing": true} (killed as the last file is about to be written), {"limit": BYTES} (no file may grow
larger) or {}. Prints a JSON list of {"signal", "code", "error", "files"}.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import torch._dynamo  # noqa: F401  optimizers load it at their first step: once, not in every try

from meddenoise.errors import MeddenoiseError
from meddenoise.training import TrainingSet, run_training, stages
from tests.training.noisy_training import Silence, tiny_recipe


def die(*_: object) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("alive")


class Deadly(Silence):
    """Kills its process when a stage has come to a point."""

    def __init__(self, stage: str, at: int) -> None:
        super().__init__()
        self.where, self.at = stage, at

    def making(self, done: int, total: int) -> None:
        self.step(done, total, {})

    def step(self, step: int, total: int, values: dict[str, float]) -> None:
        if self.stages[-1] == self.where and step >= self.at:
            die()


def arrange(attempt: dict[str, Any]) -> Silence:
    """Arrange the failure of this process, and the listener to its training."""
    if "sync" in attempt:
        left = [attempt["sync"]]
        sync = os.fsync

        def unsafe(descriptor: int) -> None:
            left[0] -= 1
            sync(descriptor) if left[0] else die()

        os.fsync = unsafe
    if "packing" in attempt:
        stages.save_checkpoint = die  # type: ignore[assignment]
    if "limit" in attempt:
        resource.setrlimit(resource.RLIMIT_FSIZE, (attempt["limit"], attempt["limit"]))
    return Deadly(attempt["stage"], attempt["at"]) if "stage" in attempt else Silence()


def run(folder: Path, output: Path, attempt: dict[str, Any], error: int) -> NoReturn:
    """In a process of its own: one try; what was wrong goes to the pipe `error`."""
    code = 0
    try:
        run_training(tiny_recipe(), TrainingSet(folder), output, watch=arrange(attempt))
    except MeddenoiseError as problem:
        os.write(error, str(problem).encode())
        code = problem.exit_code
    except BaseException as problem:
        os.write(error, repr(problem).encode())
        code = 99
    os._exit(code)


def main(folder: Path, output: Path, attempts: list[dict[str, Any]]) -> None:
    """All tries, one after another."""
    results = []
    for attempt in attempts:
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            run(folder, output, attempt, writer)
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as pipe:
            error = pipe.read()
        _, status = os.waitpid(child, 0)
        killed = os.WIFSIGNALED(status)
        results.append(
            {
                "signal": os.WTERMSIG(status) if killed else 0,
                "code": None if killed else os.WEXITSTATUS(status),
                "error": error,
                "files": sorted(path.relative_to(output).as_posix() for path in output.rglob("*.*")),
            }
        )
    sys.stdout.write(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]))
