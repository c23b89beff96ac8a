"""The verdict on a denoised image: noise passes, lost and planted structure does not."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from meddenoise.engine.planes import MiddlePlane
from meddenoise.io.memory import as_series
from meddenoise.metrics import UndefinedError
from meddenoise.noise import NoiseEstimate
from meddenoise.noise.correlation import unit_noise
from meddenoise.noise.rician import mean_magnitude
from meddenoise.pipeline.denoise import denoise_series
from meddenoise.pipeline.options import Options
from meddenoise.trust import Check, Values, judge
from meddenoise.trust.advice import Tried, say_advice
from meddenoise.trust.examine import EXAMINED, PlanePair, examine
from meddenoise.trust.lesions import survival

SIZE, SIGMA = 128, 20.0
COLOURED = NoiseEstimate(SIGMA, (1.7, 1.5, 0.9, 0.5))
WHITE = NoiseEstimate(SIGMA)
ALL = np.ones((SIZE, SIZE), bool)


def scene():
    """Soft tissue with discs and a bright rim, float32."""
    y, x = np.indices((SIZE, SIZE))
    truth = 100 + 40 * np.sin(x / 21) * np.cos(y / 17) + 300 * (np.hypot(y - 64, x - 64) < 50)
    for row, column, contrast in ((50, 50, 80), (80, 70, -80), (60, 90, 60)):
        truth = truth + contrast * (np.hypot(y - row, x - column) < 5)
    return truth.astype(np.float32)


def noisy(noise, seed=1):
    """The scene with noise drawn from another seed than the simulated null."""
    return scene() + SIGMA * unit_noise(noise, (SIZE, SIZE), np.random.default_rng(seed))


def values(after, noise=WHITE, seed=1, valid=ALL):
    return examine([PlanePair(noisy(noise, seed), after.astype(np.float32), valid, noise)])


@pytest.mark.parametrize("noise", [WHITE, COLOURED], ids=["white", "coloured"])
def test_a_result_without_a_bit_of_noise_and_with_all_structure_passes(noise):
    found = [judge(values(scene(), noise, seed)) for seed in range(10)]
    verdicts = [trust.verdict for trust in found]
    # it cannot be told from the simulated null, whose strongest spot varies: a few are to be looked at
    assert verdicts.count("ok") >= 8 and "reject" not in verdicts
    for name in ("structure_lost", "structure_invented", "edges_lost"):
        assert np.median([trust.values[name] for trust in found]) == pytest.approx(1, abs=0.12)


@pytest.mark.parametrize("noise", [WHITE, COLOURED], ids=["white", "coloured"])
def test_blur_is_rejected_for_edges_and_lost_structure(noise):
    found = judge(values(gaussian_filter(noisy(noise), 2.0), noise))
    assert found.verdict == "reject"
    assert any("edges were removed" in reason for reason in found.reasons)
    assert any("structure was removed" in reason for reason in found.reasons)


def test_a_field_of_nothing_but_noise_is_no_smoother_than_it_should_be():
    for seed in range(4):
        plane = np.random.default_rng(seed).normal(100, 20, (128, 128)).astype(np.float32)
        trust = denoise_series(as_series(plane, modality="CT"), Options(sigma=20.0)).trust
        assert trust.verdict == "ok" and trust.values["smoothing"] < 1.0


def test_a_lesion_that_is_gone_is_lost_and_one_that_nobody_measured_is_invented():
    y, x = np.indices((SIZE, SIZE))
    planted = values(scene() + 100 * (np.hypot(y - 40, x - 75) < 5)).values
    erased = values(scene() - 80 * (np.hypot(y - 50, x - 50) < 5)).values
    assert planted["structure_invented"] > 2 and planted["structure_invented"] > planted["structure_lost"]
    assert erased["structure_lost"] > 2 and erased["structure_lost"] > erased["structure_invented"]


def test_a_shifted_tissue_is_told_with_its_range_and_sign():
    moved = scene()
    moved[moved > 300] += 0.6 * SIGMA
    found = values(moved)
    assert found.values["mean_shift"] == pytest.approx(0.6, abs=0.1)
    raised = [part.shift for part in found.bins if part.low > 300]
    assert raised == pytest.approx([0.6 * SIGMA] * len(raised), abs=0.15 * SIGMA)


def test_a_method_that_takes_the_rician_bias_back_is_not_blamed():
    signal = np.where(scene() > 250, 10 * SIGMA, 0).astype(np.float32)
    rng = np.random.default_rng(2)
    magnitude = np.hypot(signal + rng.normal(0, SIGMA, signal.shape), rng.normal(0, SIGMA, signal.shape))
    noise = NoiseEstimate(SIGMA, model="rician")
    for after in (signal, mean_magnitude(signal, SIGMA)):
        found = examine([PlanePair(magnitude.astype(np.float32), after, ALL, noise)])
        assert judge(found).verdict == "ok", found
    # nor where the estimator did not see what the noise is; of what is no magnitude it is a shift
    plain = NoiseEstimate(SIGMA)
    for may_be, verdict in ((True, "ok"), (False, "reject")):
        found = examine([PlanePair(magnitude.astype(np.float32), signal, ALL, plain, may_be)])
        assert judge(found).verdict == verdict, found
    assert mean_magnitude(np.zeros(1, np.float32), 2.0)[0] == pytest.approx(2 * np.sqrt(np.pi / 2))
    assert mean_magnitude(np.full(1, 100, np.float32), 1.0)[0] == pytest.approx(100.005, abs=1e-3)


def test_pixels_that_are_no_image_do_not_count():
    hidden, after = ALL.copy(), scene()
    after[20:40, 20:40] += 500
    hidden[20:40, 20:40] = False
    assert judge(values(after)).verdict == "reject"
    assert judge(values(after, valid=hidden)).verdict == "ok"


def test_a_masked_background_has_no_noise_that_could_be_left():
    y, x = np.indices((SIZE, SIZE))
    head = np.hypot(y - 64, x - 64) < 36
    clean = np.where(head, scene(), 0).astype(np.float32)
    before = np.where(head, noisy(WHITE), 0).astype(np.float32)
    for share in (0.0, 0.5, 1.0):
        after = clean + np.float32(share) * (before - clean)
        left = examine([PlanePair(before, after, ALL, WHITE)]).values["noise_left"]
        assert left == pytest.approx(share, abs=0.05)


@pytest.mark.parametrize(
    ("size", "noise", "words"),
    [(40, WHITE, "48 pixels a side"), (64, NoiseEstimate(0.0), "no noise is seen")],
)
def test_what_cannot_be_judged_has_no_verdict_but_a_reason(size, noise, words):
    plane = np.zeros((size, size), np.float32)
    found = judge(examine([PlanePair(plane, plane, plane == 0, noise)]))
    assert found.verdict is None and found.reasons == ()
    assert words in found.notes[0]
    assert found.values == dict.fromkeys(EXAMINED)


def test_discs_survive_the_identity_and_not_a_blur():
    before, sigma = noisy(WHITE), np.full((SIZE, SIZE), SIGMA, np.float32)
    image = MiddlePlane(before[None, None], sigma[None], ALL[None])
    kept = survival(lambda plane: plane, image, before, WHITE)
    assert kept.share == pytest.approx(1, abs=1e-3) and kept.discs >= 4
    # eight times what white noise makes of a disc of 20 to 50 pixels
    assert 0.8 * SIGMA < kept.contrast < 2.5 * SIGMA

    def blur(plane):
        return gaussian_filter(plane, 4.0)

    assert survival(blur, image, blur(before), WHITE).share < 0.25
    half = survival(lambda plane: plane / 2, image, before / 2, WHITE)
    assert half.share == pytest.approx(0.5, abs=1e-3)


def test_discs_need_room():
    plane = np.zeros((30, 30), np.float32)
    image = MiddlePlane(plane[None, None], plane[None] + 1, plane[None] == 0)
    with pytest.raises(UndefinedError, match="too few"):
        survival(lambda noisy: noisy, image, plane, WHITE)


def test_a_check_judges_in_its_own_direction():
    rising = Check("", "", (), look=1.0, reject=2.0)
    falling = Check("", "", (), look=0.4, reject=0.2, falling=True)
    assert [rising.judge(value) for value in (0.9, 1.0, 2.0)] == ["ok", "look", "reject"]
    assert [falling.judge(value) for value in (0.5, 0.4, 0.2)] == ["ok", "look", "reject"]
    stale = Check("", "", (), look=0.4, no_effect=0.7)
    assert [stale.judge(value) for value in (0.3, 0.4, 0.7, 1.0)] == ["ok", "look", "no effect", "no effect"]


def test_lost_structure_weighs_more_than_no_effect_and_no_effect_less_than_look():
    assert judge(Values({"noise_left": 1.0})).verdict == "no effect"
    assert judge(Values({"noise_left": 1.0, "structure_lost": 1.3})).verdict == "look"
    assert judge(Values({"noise_left": 1.0, "structure_lost": 1.6})).verdict == "reject"


def test_advice_names_what_was_not_tried():
    lost = Values({"structure_lost": 2.0})
    assert judge(lost, Tried("direct")).advice == ("--strength 0.6", "--method nlm")
    assert judge(lost, Tried("nlm")).advice == ("--strength 0.6", "--method direct")
    assert judge(lost).advice == ("--strength 0.6", "another --method")
    assert judge(lost, Tried("direct", 0.6)).advice == ("--method nlm",)
    assert judge(lost, Tried("direct", 1.5)).advice == ("--strength 1", "--method nlm")
    assert judge(Values({"edges_lost": 3.0}), Tried("direct", 0.5)).advice == ("--method nlm",)
    assert judge(Values({"mean_shift": 1.0}), Tried("direct", level=True)).advice == ("--method nlm",)
    assert judge(Values({"noise_left": 1.0}), Tried("nlm", 0.4)).advice == ("--strength 1", "--method direct")
    assert judge(Values({"structure_lost": 0.1})).advice == ()


def test_advice_is_never_stronger_and_weaker_at_once():
    both = Values({"noise_left": 0.5, "lesion_survival": 0.3})
    assert judge(both, Tried("direct")).advice == ("--method nlm",)


def test_the_most_wanted_advice_comes_first():
    lost = Values({"structure_lost": 2.0, "structure_invented": 2.0})
    assert judge(lost, Tried("direct")).advice == ("--method nlm", "--strength 0.6")


def test_advice_reads_as_alternatives():
    assert say_advice(()) == "" and say_advice(("--method nlm",)) == "try --method nlm"
    assert say_advice(("a", "b", "c")) == "try one of: a, b or c"


def test_the_shift_of_a_range_counts_only_beyond_its_own_uncertainty():
    # noise far coarser than it was taken for, as in maps of low signal, moves means by itself
    coarse = gaussian_filter(np.random.default_rng(3).normal(0, 1, (SIZE, SIZE)), 6)
    coarse *= SIGMA / coarse.std()
    pair = PlanePair((scene() + coarse).astype(np.float32), scene(), ALL, WHITE)
    assert examine([pair]).values["mean_shift"] < 0.25


def test_the_worst_check_decides_and_its_reason_comes_first():
    found = judge(Values({"structure_lost": 1.3, "mean_shift": 0.9, "edges_lost": None}, notes=("why.",)))
    assert found.verdict == "reject"
    assert "tissues" in found.reasons[0] and "structure" in found.reasons[1]
    assert found.notes == ("why.",)
