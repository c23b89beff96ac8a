"""`meddenoise info`: the line of the noise."""

from meddenoise.cli.info import _noise_line


def test_the_range_of_the_noise_has_the_digits_of_its_level() -> None:
    noise = {"sigma": 178.93, "model": "gaussian", "range": (98.6, 271.2)}
    assert _noise_line(noise, "HU") == "  noise 178.9 HU (gaussian), 98.6 to 271.2 along the series"
    assert _noise_line({**noise, "range": (178.1, 180.2)}, "") == "  noise 178.9 (gaussian)"
