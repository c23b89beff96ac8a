"""Networks in 8 bits, next to fp32."""

from importlib.util import find_spec

import pytest
import torch

from benchmarks import eight_bits
from meddenoise.networks.compiled import CompiledBody, _graph, compile_body, openvino_version

pytestmark = pytest.mark.skipif(
    openvino_version() is None or find_spec("nncf") is None, reason="needs the extra openvino and nncf"
)


def test_eight_bits_are_near_fp32_and_nearer_where_all_layers_are_kept() -> None:
    network = eight_bits.load("direct-fast")
    features = torch.randn(2, network.tail.in_channels, 16, 16, generator=torch.Generator().manual_seed(0))
    given = [plane[None].numpy() for plane in features]
    whole = CompiledBody(compile_body(network))(features)
    names = eight_bits.name_layers(_graph(network), network)
    assert {"down.0", "up.0", "tail", "encoder.0.0.first"} <= set(names)
    ends = {name.split(".")[0] for name in names}
    rounded, kept = (
        CompiledBody(eight_bits.compile_in_8_bits(network, given, layers))(features)
        for layers in ([], ["decoder", "tail"])
    )
    assert ends == {"encoder", "down", "up", "decoder", "tail"}
    assert 0 < (kept - whole).std() < (rounded - whole).std() < 0.2 * whole.std()


def test_speed_and_loss_are_one_row_a_body(capsys: pytest.CaptureFixture[str]) -> None:
    network = eight_bits.load("direct-fast")
    bodies = {"torch fp32": None, eight_bits.BASE: CompiledBody(compile_body(network))}
    speed = eight_bits.measure_speed(network, bodies, 64, 1)
    assert network.body is None and speed[eight_bits.BASE][1] == 1
    assert all(milliseconds > 0 and ratio > 0 for milliseconds, ratio in speed.values())
    eight_bits._print(speed | {"int8": (9.0, 2.5)}, {"int8": {"ct": 0.01, "mr": 0.03}})
    *_, last = capsys.readouterr().out.splitlines()
    assert last.split() == ["int8", "9", "2.50", "0.020", "0.030", "mr"]


def test_a_body_takes_the_place_of_the_network() -> None:
    trial = next(eight_bits.phantoms(1, first=0))
    network, plans = eight_bits.load("direct-fast"), eight_bits.prepare(trial, "direct-fast")
    given = eight_bits.features_of(network, "direct-fast", [trial])
    side, channels = eight_bits.SIDE // network.unshuffle, network.unshuffle**2
    assert {plane.shape for plane in given} == {(1, network.tail.in_channels, side, side)}
    idle = eight_bits.left_by(lambda features: torch.zeros(len(features), channels, side, side), trial, plans)
    noise = trial.judge(trial.noisy)[0].left_ms
    assert idle == pytest.approx(noise, rel=0.02)
    network_left = eight_bits.left_by(lambda features: network.tail(network.mix(features)), trial, plans)
    assert network_left < noise / 2
