"""The document of the VP-SDE benchmark: paired gains, verdicts from the numbers."""

import pytest


def _row(chosen: list[int], psnr: list[float], within: list[float] | None = None) -> dict[str, object]:
    ssim = [0.02 * value for value in psnr]
    return {"chosen": chosen, "psnr": psnr, "ssim": ssim, "nfe": 1, "ms": 1.0, "within": within}


def test_gains_are_paired_on_the_patches_both_ran_on() -> None:
    from papers.vpsde.vpsde_document import compare

    rows = {"a": _row([0, 1, 2, 3], [20.0, 30.0, 40.0, 90.0]), "b": _row([1, 2], [29.0, 38.0])}
    gain = compare(rows, "a", "b", "psnr", ["p", "q", "r", "s"])
    assert gain is not None and gain.mean == pytest.approx(1.5)
    assert compare(rows, "a", "c", "psnr", ["p"]) is None


def test_verdicts_follow_from_the_numbers() -> None:
    from papers.vpsde.vpsde_document import compose

    patients = [str(n) for n in range(4)]
    rows = {
        "noisy": _row([0, 1, 2, 3], [17.0, 17.0, 17.0, 17.0]),
        "vpsde": _row([0, 1, 2, 3], [26.0, 27.0, 26.0, 27.0]),
        "nlm": _row([0, 1, 2, 3], [27.0, 27.0, 27.0, 27.0]),
        "vpsde, one draw": _row([0, 3], [24.0, 24.0], [0.95, 0.93]),
        "vpsde, mean of 8 draws": _row([0, 3], [24.0, 24.0], [0.85, 0.91]),
    }
    document = {"weights": {"name": "w", "sha256": "0" * 64}, "folders": [], "patients": patients}
    lines = {line for line in compose({**document, "rows": rows}).splitlines() if line.startswith("* ")}
    said = {line.split(":")[0].removeprefix("* "): line for line in lines}
    assert any("over noisy: +9.50 (+9.00 to +10.00) dB, wanted above 5: met." in line for line in lines)
    assert any("over NLM: -0.50 (-1.00 to +0.00) dB, wanted above 0: **not met**." in line for line in lines)
    assert any("over BM3D: not measured" in line or "PSNR over BM3D" in line for line in lines)
    assert "94.0% (93.0% to 95.0%), met;" in said["vpsde, one draw, 2 patches"]
    assert "88.0% (85.0% to 91.0%), **not met**;" in said["vpsde, mean of 8 draws, 2 patches"]
