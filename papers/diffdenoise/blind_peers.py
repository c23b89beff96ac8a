"""The methods of the self-supervised benchmark, each a callable (problem) -> its results, by column name.

They see the noisy images of the problem and nothing else of its cases; only the columns `true` and
`bm3d+model` are told the noise.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.cases import NoisyCase
from benchmarks.peers import GIVEN_MODEL, Peer, PeerError, as_series, peers_of
from meddenoise.engine.level import estimate_series
from meddenoise.io import read, write
from meddenoise.pipeline.options import Options
from meddenoise.series import Image
from papers.rivals.neighbor2neighbor import train_neighbor2neighbor

OWN, OTHERS = "own", "others"
RIVALS = Path(__file__).parents[1] / "rivals"
KEPT_LINES = 12
"""Of what a failed program said."""


@dataclass(frozen=True)
class BlindProblem:
    """Noisy images to train on and denoise (`own`), more of their kind to denoise (`others`).

    All planes have one size. `folder` holds both as files, in OWN and OTHERS. `careamics` is the Python that
    has CAREamics.
    """

    own: list[NoisyCase]
    others: list[NoisyCase]
    folder: Path
    minutes: float
    seed: int
    careamics: str


@dataclass(frozen=True)
class BlindOutcome:
    """Denoised planes in the order of the problem's cases; minutes and steps of training, if any."""

    own: list[Image]
    others: list[Image]
    minutes: float | None = None
    steps: int | None = None


Runner = Callable[[BlindProblem], dict[str, BlindOutcome]]


def run_noise2void(problem: BlindProblem) -> dict[str, BlindOutcome]:
    """Noise2Void by CAREamics, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        stacks, results = Path(folder, "noisy.npz"), Path(folder, "denoised.npz")
        np.savez(stacks, train=_stack(problem.own), others=_stack(problem.others))
        command = [problem.careamics, str(RIVALS / "noise2void.py"), str(stacks), str(results)]
        _run([*command, "--minutes", f"{problem.minutes:g}", "--seed", str(problem.seed)])
        found = np.load(results)
        own, others = (list(found[name]) for name in ("train", "others"))
        return {"noise2void": BlindOutcome(own, others, float(found["minutes"]), int(found["steps"]))}


def run_neighbor2neighbor(problem: BlindProblem) -> dict[str, BlindOutcome]:
    """Neighbor2Neighbor with a plain U-Net of the size of ours."""
    trained = train_neighbor2neighbor(_stack(problem.own), problem.minutes, problem.seed)
    own, others = (list(trained(_stack(cases))) for cases in (problem.own, problem.others))
    return {"neighbor2neighbor": BlindOutcome(own, others, trained.minutes, trained.steps)}


def run_diffdenoise(problem: BlindProblem) -> dict[str, BlindOutcome]:
    """Our own command line, as a user would: train on the folder, denoise it with what comes out."""
    run, results = problem.folder / "run", problem.folder / "denoised"
    ours = [sys.executable, "-m", "meddenoise"]
    started = perf_counter()
    train = [*ours, "train", "--method", "diffdenoise", "--data", str(problem.folder / OWN), "-o", str(run)]
    _run([*train, "--budget", f"{problem.minutes:g}m"])
    minutes = (perf_counter() - started) / 60
    weights = ["--weights", str(run / "checkpoint.safetensors"), "--method", "diffdenoise", "--device", "cpu"]
    for part in (OWN, OTHERS):
        _run([*ours, "denoise", str(problem.folder / part), "-o", str(results / part), *weights, "-q"])
    own, others = (
        [read_plane(results / part / file_name(n)) for n in range(len(cases))]
        for part, cases in ((OWN, problem.own), (OTHERS, problem.others))
    )
    return {"diffdenoise": BlindOutcome(own, others, minutes)}


def run_known(name: str) -> Runner:
    """A method that is not trained here: told the true level, and estimating it for each image."""

    def run(problem: BlindProblem) -> dict[str, BlindOutcome]:
        outcomes = {}
        for column, peer in peers_of(name, None, Options(method=name, device="cpu")).items():
            if column == name:
                outcomes[f"{name} true"] = _apply(peer, problem)
                if f"{name} auto" not in outcomes and name in ("nlm", "bm3d"):
                    outcomes[f"{name} auto"] = _apply(_estimating(peer), problem)
            elif column != GIVEN_MODEL or problem.own[0].has_model:
                outcomes[column] = _apply(peer, problem)
        return outcomes

    return run


RUNNERS: dict[str, Runner] = {
    "noise2void": run_noise2void,
    "neighbor2neighbor": run_neighbor2neighbor,
    "diffdenoise": run_diffdenoise,
    "direct": run_known("direct"),
    "nlm": run_known("nlm"),
    "bm3d": run_known("bm3d"),
}


def write_folder(cases: Sequence[NoisyCase], folder: Path) -> None:
    """One float32 NIfTI file a noisy plane, as `file_name` calls them: one patient each."""
    folder.mkdir(parents=True)
    for n, case in enumerate(cases):
        write(as_series(case.noisy, ""), folder / file_name(n), format="nifti")


def file_name(number: int) -> str:
    """The file of the case of that number."""
    return f"patient_{number:03d}.nii"


def read_plane(path: Path) -> Image:
    """The one plane of a file. Raises PeerError where there is none."""
    if not path.exists():
        raise PeerError(f"{path} was not written")
    plane: Image = read(path)[0].values(0, 1)[0]
    return plane


def _stack(cases: Sequence[NoisyCase]) -> Image:
    return np.stack([case.noisy for case in cases])


def _apply(peer: Peer, problem: BlindProblem) -> BlindOutcome:
    return BlindOutcome([peer(case) for case in problem.own], [peer(case) for case in problem.others])


def _estimating(peer: Peer) -> Peer:
    """`peer` told what we estimate of the image, a file without modality as a user's is."""

    def denoise(case: NoisyCase) -> Image:
        return peer(replace(case, told=estimate_series(as_series(case.noisy, "")).sigma))

    return denoise


def _run(command: Sequence[str]) -> None:
    """Run a program on one thread and no GPU; its progress goes to stderr. Raises PeerError if it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        done = subprocess.run(command, stdout=sys.stderr.fileno(), stderr=said, env=environment)
        said.seek(0)
        words = said.read().strip().splitlines()[-KEPT_LINES:]
    if done.returncode:
        raise PeerError(f"{' '.join(command[:4])} ... ended with {done.returncode}: " + "\n".join(words))
