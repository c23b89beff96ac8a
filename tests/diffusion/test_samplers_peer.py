"""DDIM and DPM-Solver++(2M) against diffusers, with the same network and the same noise."""

from types import ModuleType

import pytest
import torch

from meddenoise.diffusion.samplers import ddim, dpmpp_2m, draw_from
from meddenoise.diffusion.schedules import as_denoiser, get_schedule
from tests.diffusion.test_samplers import Network, fields, generators

LINEAR = get_schedule("linear-1000")


@pytest.fixture(scope="module")
def diffusers() -> ModuleType:
    return pytest.importorskip("diffusers", reason="the peer is a package for development only")


@pytest.mark.parametrize("steps", [2, 10, 50])
@pytest.mark.parametrize("eta", [0.0, 0.6])
def test_ddim_agrees_with_diffusers(diffusers: ModuleType, steps: int, eta: float) -> None:
    peer = diffusers.DDIMScheduler(
        beta_start=1e-4, beta_end=0.02, clip_sample=False, prediction_type="v_prediction",
        timestep_spacing="trailing",
    )  # fmt: skip
    peer.set_timesteps(steps)
    network, state, noise = Network(), fields(2), draw_from(generators(2))
    for t in peer.timesteps:
        drawn = noise(state) if eta else None
        state = peer.step(network(state, int(t)), t, state, eta=eta, variance_noise=drawn).prev_sample
    denoise, start = as_denoiser(network, LINEAR, "v"), fields(2) / float(LINEAR.alpha[-1])
    ours = ddim(denoise, start, LINEAR.trailing(steps), noise=draw_from(generators(2)), eta=eta)
    torch.testing.assert_close(ours, state, rtol=0, atol=1e-4)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("steps", [2, 10, 50])
def test_dpmpp_2m_agrees_with_diffusers(diffusers: ModuleType, steps: int) -> None:
    peer = diffusers.DPMSolverMultistepScheduler(
        beta_start=1e-4, beta_end=0.02, prediction_type="v_prediction", timestep_spacing="trailing",
        final_sigmas_type="zero",
    )  # fmt: skip
    peer.set_timesteps(steps)
    network, state = Network(), fields(2)
    for t in peer.timesteps:
        state = peer.step(network(state, int(t)), t, state).prev_sample
    denoise, start = as_denoiser(network, LINEAR, "v"), fields(2) / float(LINEAR.alpha[-1])
    ours = dpmpp_2m(denoise, start, LINEAR.trailing(steps))
    torch.testing.assert_close(ours, state, rtol=0, atol=1e-4)
