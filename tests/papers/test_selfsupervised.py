"""The document of the self-supervised benchmark: runs joined by setting, the last of several counting."""

from typing import Any

from papers.diffdenoise.selfsupervised_document import compose

COMMAND = (
    "`python papers/diffdenoise/selfsupervised.py DATA --modality CT --sigma 25.0 --kernel 0.0 --images 50"
)


def measured(minutes: str, psnr: dict[str, float], **settings: str) -> dict[str, Any]:
    """Results of one call, in the layout that selfsupervised.py writes."""
    chosen = {"modality": "CT", "sigma": "25.0", "kernel": "0.0", "images": "50", "others": "10"}
    chosen |= {"size": "256", "seed": "0", "minutes": minutes, "methods": str(list(psnr)), **settings}
    trained = [name for name in psnr if name == "diffdenoise"]
    return {
        "date": "2026-11-30T10:00:00+00:00",
        "settings": chosen,
        "versions": {"torch": "2.6", "bm3d": None},
        "means": {
            name: {"own": {"psnr": value, "ssim": 0.8}, "others": {"psnr": value - 1, "ssim": 0.75}}
            for name, value in psnr.items()
        },
        "training": {name: {"minutes": float(minutes), "steps": 900} for name in trained},
    }


def test_a_method_trained_twice_as_long_has_a_row_of_its_own_and_the_last_of_the_same_counts() -> None:
    runs = [
        measured("5", {"nlm true": 29.0, "diffdenoise": 30.0}),
        measured("10", {"diffdenoise": 31.5}),
        measured("5", {"nlm true": 29.5}),
    ]
    lines = [line for line in compose(runs).splitlines() if line.startswith(("|", "## ", "*"))]
    assert lines == [
        "## CT, sigma 25, white; 50 images of 256 x 256, 10 others",
        f"* {COMMAND} --minutes 5 --methods nlm true,diffdenoise`, 2026-11-30 (torch 2.6)",
        f"* {COMMAND} --minutes 10 --methods diffdenoise`, 2026-11-30 (torch 2.6)",
        f"* {COMMAND} --minutes 5 --methods nlm true`, 2026-11-30 (torch 2.6)",
        "| method | minutes | steps | own | others |",
        "|---|---|---|---|---|",
        "| nlm true |  |  | 29.50 / 0.800 | 28.50 / 0.750 |",
        "| diffdenoise | 5.0 | 900 | 30.00 / 0.800 | 29.00 / 0.750 |",
        "| diffdenoise | 10.0 | 900 | 31.50 / 0.800 | 30.50 / 0.750 |",
    ]


def test_other_noise_is_another_section() -> None:
    text = compose([measured("5", {"noisy": 20.0}), measured("5", {"noisy": 20.0}, kernel="0.8")])
    assert text.count("\n## ") == 2 and "## CT, sigma 25, kernel 0.8 px; 50 images" in text
