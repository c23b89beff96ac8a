"""A series is chosen for once, its noise is measured once, and it is run a few frames below the worker."""

import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

import meddenoise
from meddenoise.batch import Request, run
from meddenoise.batch.workers import Orders
from meddenoise.io import write
from meddenoise.methods.choice import Choice
from meddenoise.pipeline import prepare
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options
from meddenoise.pipeline.profile import measure_profile
from tests.batch.test_batch import Ears, png
from tests.pipeline.test_denoise import make_series

PACKAGE = Path(meddenoise.__file__).parent
MOST_FRAMES = 7
"""From the worker that has a series down to the call of its denoiser, both counted."""


@dataclass(frozen=True)
class Deep:
    """A method that halves the change and notes whose frames it is called from."""

    calls: list = field(default_factory=list)
    name: str = "deep"
    uses_weights: bool = False
    tile: int | None = None
    context: int = 0

    def load(self, setup):
        return self

    def __call__(self, noisy, sigma):
        frame, names = sys._getframe().f_back, []
        while frame is not None:
            if Path(frame.f_code.co_filename).is_relative_to(PACKAGE):
                names.append(frame.f_code.co_name)
            frame = frame.f_back
        self.calls.append(names)
        return noisy * 0.5


def use(monkeypatch, method):
    monkeypatch.setattr("meddenoise.pipeline.denoise.choose", lambda *names: Choice(method))


def count_calls(monkeypatch, where):
    """Calls of a function, counted as it runs."""
    module, name = where.rsplit(".", 1)
    real, calls = getattr(sys.modules[module], name), []

    def counted(*given, **more):
        calls.append(name)
        return real(*given, **more)

    monkeypatch.setattr(where, counted)
    return calls


def test_a_denoiser_is_called_a_few_frames_below_the_worker(monkeypatch, tmp_path):
    method = Deep()
    use(monkeypatch, method)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    ears = Ears()
    run(Request(inputs=(png(tmp_path / "a.png"),), orders=Orders(options=Options(sigma=10.0))), ears)
    assert not ears.failures and ears.rows
    (first, *_) = method.calls
    assert (first[0], first[-1]) == ("_denoise_batch", "_do")
    assert len([*first, "the denoiser"]) <= MOST_FRAMES, first


def test_choice_and_noise_are_found_once_for_a_series_whatever_is_given(monkeypatch, tmp_path):
    chosen = count_calls(monkeypatch, "meddenoise.pipeline.denoise.choose")
    measured = count_calls(monkeypatch, "meddenoise.engine.level.measure_planes")
    series = make_series(4, np.float32, modality="XA", unit="", frame_time_ms=40.0)
    still = make_series(4, np.float32, modality="XA", unit="")
    profile = measure_profile([series]).profile
    level = replace(still, pixels=np.full_like(still.pixels, 1044), slope=np.ones(4))
    write(level, tmp_path / "level.nii", format="nifti")
    options = Options(method="gaussian")
    for given, source in (
        (options, still),
        (replace(options, sigma=20.0), still),
        (replace(options, noise_profile=profile), series),
        (replace(options, noise_map=str(tmp_path / "level.nii")), still),
    ):
        chosen.clear(), measured.clear()
        assert denoise_series(source, given).trust.verdict is not None
        assert (len(chosen), len(measured)) == (1, 1), given


def test_a_batch_with_a_reference_measures_the_noise_of_a_series_once(monkeypatch, tmp_path):
    measured = count_calls(monkeypatch, "meddenoise.engine.level.measure_planes")
    (tmp_path / "ref").mkdir()
    noisy, clean = png(tmp_path / "a.png", 100), png(tmp_path / "ref" / "a.png", 101)
    ears = Ears()
    orders = Orders(options=Options(method="gaussian"))
    run(Request(inputs=(noisy,), reference=clean, orders=orders), ears)
    assert ears.rows[0].metrics["psnr"] is not None
    assert len(measured) == 1


def test_a_plan_says_where_it_runs_before_it_does_and_its_result_is_judged_after():
    plan = prepare(make_series(), Options(method="nlm"))
    assert (str(plan.device), plan.choice.method.name) == ("cpu", "nlm")
    assert plan.noise is plan.seen_noise and len(plan.noise) == 3
    done = plan.run()
    assert done.trust is None and done.removal is None
    judged = done.judged()
    assert judged.trust.verdict in ("ok", "look") and judged.removal.after < judged.removal.before
    assert judged.series is done.series and judged.judged() is judged


def test_a_plan_that_has_nothing_to_do_still_ticks():
    planes = []
    plan = prepare(make_series(), Options(method="nlm", strength=0.0))
    assert plan.idle
    assert plan.run(planes.append).judged().trust.verdict == "no effect"
    assert sum(planes) == 3
