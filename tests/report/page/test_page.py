"""The HTML report without a browser: what is drawn, what is kept, what is left out."""

import json
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from typer.testing import CliRunner

from meddenoise.cli.main import app
from meddenoise.errors import OutputError
from meddenoise.metrics import METRICS
from meddenoise.report.page import Drawing, compose
from meddenoise.report.page import gallery as gallery_module
from meddenoise.report.page.compose import mark, read_drawings
from meddenoise.report.page.drawing import draw_series
from meddenoise.report.page.gallery import Gallery
from meddenoise.report.page.meanings import meaning_of
from meddenoise.report.page.plot import Axes, PlotCurve, draw_plot
from meddenoise.report.page.regions import find_regions, spread_planes
from meddenoise.report.page.shown import Shown
from meddenoise.report.page.verdicts import read_trust
from meddenoise.trust import Bin, Trust
from tests.io_samples import png
from tests.page_samples import HOSTILE, SIGMA, data_of, entry, page, series, shown
from tests.report.page.test_pictures import unpack

RNG = np.random.default_rng
CT = Path(str(get_testdata_file("CT_small.dcm")))
RUNNER = CliRunner()


def test_regions_are_where_structure_was_removed():
    residual = RNG(0).normal(0, 10, (256, 256)).astype(np.float32)
    residual[160:200, 40:44] += 25
    residual += np.linspace(0, 60, 256, dtype=np.float32)[:, None]  # brightness is no structure
    found = find_regions(residual, np.ones(residual.shape, bool), 3)
    best = found[0]
    assert best.plane == 3
    assert best.top <= 160 + 20 and best.top + best.side >= 180 and best.left <= 42 <= best.left + best.side
    for a, one in enumerate(found):
        for other in found[a + 1 :]:
            assert abs(one.top - other.top) >= one.side or abs(one.left - other.left) >= one.side


def test_regions_leave_padding_out_and_an_empty_residual_has_none():
    residual = RNG(0).normal(0, 10, (128, 128)).astype(np.float32)
    residual[10:20, 10:14] += 90
    valid = np.ones(residual.shape, bool)
    valid[:64, :64] = False
    assert all(r.top >= 60 or r.left >= 60 for r in find_regions(residual, valid, 0))
    assert find_regions(np.zeros((128, 128), np.float32), valid, 0) == []


def test_planes_are_spread_and_hold_the_middle():
    assert spread_planes(1, 100) == [0]
    assert spread_planes(300, 512 * 512)[:2] != [0, 1]
    assert 150 in spread_planes(300, 512 * 512)
    assert len(spread_planes(300, 512 * 512)) <= 9
    assert spread_planes(20, 4000 * 4000) == [10]


def test_a_plot_is_xml_and_escapes_its_words():
    from xml.etree import ElementTree

    line = np.linspace(0, 1, 5)
    text = draw_plot([PlotCurve("<a>", line, line, "before", filled=True)], Axes("t&t", "<x>", '"y"'))
    words = [element.text for element in ElementTree.fromstring(text).iter("text")]
    assert {"<a>", "<x>", '"y"', "0.5"} <= set(words)


def test_the_drawing_holds_both_images_to_a_sixteenth_of_the_noise():
    sample = shown()
    data = data_of(draw_series(sample))
    first = data["pictures"][0]
    shape = (first["h"], first["w"])
    after = unpack(first["after"], shape, smooth=True).astype(float)
    before = after + unpack(first["before"], shape, smooth=False)
    assert first["label"] == "Slice 5 of 8"
    for steps, original in ((after, sample.after), (before, sample.before)):
        values = data["offset"] + data["step"] * steps
        assert np.abs(values - original.values(4, 5)[0]).max() <= SIGMA / 16
    assert data["scale"] == 3 * SIGMA
    assert any(picture.get("region") for picture in data["pictures"])


def test_large_planes_are_shown_smaller_and_their_regions_in_full():
    rng = RNG(0)
    clean = np.zeros((1, 1700, 900))
    noisy = clean + rng.normal(0, 20, clean.shape)
    data = data_of(draw_series(Shown(series(clean), series(noisy), sigma=20.0)))
    plane, region = data["pictures"][:2]
    assert (plane["h"], plane["w"], plane["factor"]) == (566, 300, 3)
    assert "shown smaller" in plane["label"]
    assert (region["h"], region["w"], region["factor"]) == (224, 224, 1)


def test_three_hundred_slices_stay_under_five_megabytes(tmp_path):
    rng = RNG(0)
    noise = rng.normal(0, 30, (4, 512, 512))
    clean = np.zeros((300, 512, 512), np.float32)
    noisy = np.concatenate([noise] * 75).astype(np.float32)
    uncertainty = replace(series(clean), pixels=np.abs(noisy) / 3)
    drawing = draw_series(Shown(series(noisy / 4), series(noisy), series(clean), uncertainty, sigma=30.0))
    compose.write_page(page(entry(), drawing=drawing), tmp_path / "p.html")
    assert (tmp_path / "p.html").stat().st_size < 5_000_000


@pytest.mark.parametrize(
    "values",
    [np.zeros((1, 5, 5)), np.full((3, 40, 40), np.nan), np.full((2, 64, 64), 7.0), np.zeros((1, 1, 300))],
    ids=["tiny", "nan", "constant", "line"],
)
def test_odd_images_are_drawn_too(values):
    odd = replace(series(np.zeros(values.shape)), pixels=values.astype(np.float32))
    data = data_of(draw_series(Shown(odd, odd, sigma=0.0)))
    assert data["pictures"][0]["w"] == values.shape[2]
    assert all(np.isfinite([low, high]).all() and high > low for _, low, high in data["windows"])


def test_colours_are_drawn_as_their_mean_and_coarser_inputs_enlarged():
    values = np.stack([np.full((40, 40), level) for level in (30.0, 60.0, 90.0)])
    data = data_of(draw_series(Shown(series(values, channels=3), series(values, channels=3))))
    assert data["pictures"][0]["label"] == "Image"
    coarse = data_of(draw_series(Shown(series(np.zeros((1, 80, 60))), series(np.zeros((1, 40, 30))))))
    assert coarse["coarser"] is True
    assert coarse["pictures"][0]["h"] == 80


def test_patient_strings_are_told_apart_from_the_pictures(tmp_path):
    drawing = draw_series(shown(identity=(("Patient", HOSTILE), ("Study", ""))))
    assert "owned" not in drawing.body
    assert "owned" in drawing.who and "<img" not in drawing.who and "Study" not in drawing.who
    compose.write_page(page(entry(), drawing=drawing), tmp_path / "p.html")
    assert read_drawings(tmp_path / "p.html", {"key"})["key"] == Drawing(drawing.body)


def test_drawings_of_an_earlier_page_are_found_by_their_key_only(tmp_path):
    text = mark("a-b", Drawing("<p>1</p>")) + mark("c", Drawing("<p>2</p>"))
    (tmp_path / "p.html").write_text(text)
    assert read_drawings(tmp_path / "p.html", {"c", "d"}) == {"c": Drawing("<p>2</p>")}
    assert read_drawings(tmp_path / "none.html", {"c"}) == {}


def test_a_gallery_is_full_at_its_limits(monkeypatch):
    gallery = Gallery(1)
    assert not gallery.brief and Gallery(50).brief
    monkeypatch.setattr(gallery_module, "MOST_BYTES", 10)
    gallery.add("a", Drawing("x" * 9))
    assert gallery.has_room
    gallery.add("b", Drawing("x" * 9))
    assert not gallery.has_room


def test_series_of_different_kinds_show_them_in_the_table_of_all():
    one, other = entry(key="1"), entry(key="2", about=("MR", "3 × 96 × 96", "nlm"))
    assert "<small>MR · 3 × 96 × 96 · nlm</small>" in compose.compose(page(one, other))
    assert "<small>" not in compose.compose(page(one, entry(key="3")))


def test_a_long_page_says_what_it_leaves_out():
    entries = [entry(key=str(n), title=f"in/{n}", warnings=(f"w{n}", "all")) for n in range(1100)]
    text = compose.compose(page(*entries, table="r.csv", failed=(("x", "x broke"),)))
    assert "100 more series: see r.csv" in text
    assert "Pictures of 0 of 1100 series are kept" in text
    assert "1081 more warnings; see r.csv" in text
    assert "and 1097 more" in text
    assert "x broke" in text
    assert len(text) < 2_000_000


def test_names_that_are_no_utf8_are_escaped_bytes(tmp_path):
    compose.write_page(page(entry(title="in/\udcff")), tmp_path / "p.html")
    assert b"in/\\udcff" in (tmp_path / "p.html").read_bytes()


# --- with the program ---


@pytest.fixture
def study(tmp_path):
    folder = tmp_path / "study"
    folder.mkdir()
    for number in range(2):
        dataset = pydicom.dcmread(CT)
        dataset.PatientName, dataset.PatientID = "Secret^<img src>", "ID-SECRET"
        dataset.SeriesInstanceUID = f"1.2.3.{number}"
        dataset.SOPInstanceUID = f"1.2.3.{number}.1"
        dataset.SeriesDescription, dataset.StudyDescription = "Secret series", "Secret study"
        dataset.save_as(folder / f"{number}.dcm")
    return folder


def denoise(*arguments, command="denoise", code=0):
    options = ("--method", "gaussian") if command == "denoise" else ()
    done = RUNNER.invoke(app, [command, *map(str, arguments), *options])
    assert done.exit_code == code, done.stderr
    return done


def test_a_run_writes_the_page_without_the_patient(study, tmp_path):
    denoise(study, "-o", tmp_path / "out")
    text = (tmp_path / "out" / "meddenoise-report.html").read_text()
    assert "Secret" not in text and "SECRET" not in text
    assert text.count("<!--drawing") == 2
    assert "SHA-256" not in text and "gaussian" in text
    denoise(study / "0.dcm", "-o", tmp_path / "one.dcm", "--phi")
    text = (tmp_path / "one-report.html").read_text()
    assert "ID-SECRET" in text and "Secret^&lt;img src&gt;" in text and "<img" not in text


def test_no_report_writes_no_page(study, tmp_path):
    denoise(study, "-o", tmp_path / "out", "--no-report")
    assert sorted(path.name for path in (tmp_path / "out").glob("[!.]*")) == ["0.dcm", "1.dcm"]


def test_a_resumed_run_keeps_the_pictures_of_the_earlier_one_without_its_patient(study, tmp_path):
    out, page_file = tmp_path / "out", tmp_path / "out" / "meddenoise-report.html"
    shutil.move(study / "1.dcm", tmp_path / "1.dcm")
    denoise(study, "-o", out, "--phi")
    first = re.search(r"<!--drawing.*?<!--end-->", page_file.read_text(), re.DOTALL).group()
    assert "ID-SECRET" in page_file.read_text()
    shutil.move(tmp_path / "1.dcm", study / "1.dcm")
    denoise(study, "-o", out)
    text = page_file.read_text()
    assert text.count("<!--drawing") == 2
    assert first in text
    assert "ID-SECRET" not in text
    # a page that was lost leaves the row, and says so
    page_file.unlink()
    shutil.copy(CT, study / "2.dcm")
    denoise(study, "-o", out)
    text = page_file.read_text()
    assert text.count("<!--drawing") == 1
    assert text.count("No pictures of this series") == 2
    assert "Pictures of 1 of 3 series" in text


def test_a_drawing_that_fails_is_a_warning_and_the_image_is_there(study, tmp_path, monkeypatch):
    def broken(shown):
        raise RuntimeError("no ink")

    monkeypatch.setattr("meddenoise.report.page.drawing.draw_series", broken)
    done = denoise(study, "-o", tmp_path / "out")
    assert "the HTML report has no pictures of this series (RuntimeError: no ink)" in done.stderr
    assert (tmp_path / "out" / "0.dcm").exists()
    rows = json.loads((tmp_path / "out" / "meddenoise-report.json").read_text())["series"]
    assert all("no ink" in row["warnings"][-1] for row in rows)


def test_a_page_that_cannot_be_made_is_told_and_loses_nothing(study, tmp_path, monkeypatch):
    def broken(page, path):
        raise KeyError("gone")

    monkeypatch.setattr(gallery_module, "write_page", broken)
    done = denoise(study, "-o", tmp_path / "out", code=1)
    assert "meddenoise-report.html could not be made (KeyError" in done.stderr
    names = sorted(path.name for path in (tmp_path / "out").glob("[!.]*"))
    assert names == ["0.dcm", "1.dcm", "meddenoise-report.csv", "meddenoise-report.json"]


def test_several_workers_draw_the_same_page(study, tmp_path):
    for jobs in (1, 3):
        denoise(study, "-o", tmp_path / str(jobs), "--jobs", jobs)
    pages = [(tmp_path / jobs / "meddenoise-report.html").read_text() for jobs in "13"]
    one, three = (
        {text.partition("-->")[2] for text in re.findall(r"<!--drawing.*?<!--end-->", page, re.DOTALL)}
        for page in pages
    )
    assert one == three and len(one) == 1


def test_an_evaluation_has_its_page_beside_the_json(study, tmp_path):
    denoise(study, "-o", tmp_path / "out")
    denoise(tmp_path / "out", "--ref", study, "--noisy", study, "-o", tmp_path / "e.json", command="eval")
    text = (tmp_path / "e.html").read_text()
    assert text.count("<!--drawing") == 2
    assert "Secret" not in text
    assert "How close the result is to the reference" in text
    assert '"reference":' in text
    denoise(tmp_path / "out", "-o", tmp_path / "f.html", command="eval")
    assert sorted(path.name for path in tmp_path.glob("f.*")) == ["f.csv", "f.html", "f.json"]


def test_an_evaluation_of_images_without_a_flat_place_shows_the_estimate(tmp_path):
    """Every pixel is texture: no place is flat, and the noise estimated is all that is known."""
    y, x = np.indices((96, 96))
    truth = 128 + 60 * np.sin(x / 2.5) * np.sin(y / 2.5)
    noisy = truth + np.random.default_rng(0).normal(0, 10, truth.shape)
    for name, plane in (("noisy", noisy), ("result", truth)):
        png(tmp_path / f"{name}.png", np.clip(plane, 0, 255).astype(np.uint8))
    words = [tmp_path / "result.png", "--noisy", tmp_path / "noisy.png", "-o", tmp_path / "e.html"]
    denoise(*words, command="eval")
    text = (tmp_path / "e.html").read_text()
    assert "estimated from the noisy image, no flat place to compare" in text


def test_results_side_by_side_have_a_table_with_intervals_and_differences(tmp_path):
    from PIL import Image

    rng, shape = RNG(1), (96, 96)
    for n in range(3):
        clean = np.add.outer(np.arange(96.0), np.arange(96.0)) / 2 + 20 * n
        for name, sigma in (("ref", 0), ("noisy", 9), ("good", 2), ("bad", 6)):
            (tmp_path / name).mkdir(exist_ok=True)
            pixels = np.clip(clean + rng.normal(0, sigma or 1e-9, shape), 0, 255)
            Image.fromarray(np.rint(pixels).astype(np.uint8)).save(tmp_path / name / f"{n}.png")
    denoise(
        tmp_path / "good", tmp_path / "bad", "--ref", tmp_path / "ref", "--noisy", tmp_path / "noisy",
        "-o", tmp_path / "e.html", command="eval",
    )  # fmt: skip
    text = (tmp_path / "e.html").read_text()
    table = re.search(r'<table class="standings">.*?</table>', text, re.DOTALL).group()
    told = json.loads((tmp_path / "e.json").read_text())
    mean = told["results"][0]["mean"]["psnr"]
    low, high = told["results"][0]["interval_95"]["psnr"]
    assert f'<td class="n best">{mean:.4g}<small>{low:.4g} … {high:.4g}</small></td>' in table
    assert "with 95 % intervals over patients. The best of each row is marked." in table
    assert "bad − good" in text and "it may be chance" in text
    assert text.count('<section class="series"') == 6 and text.count("<!--drawing") == 6


def test_the_verdict_is_under_the_title_and_a_reject_on_top(tmp_path):
    good = Trust("ok", (), (), {"structure_lost": 0.5, "lesion_survival": None}, (Bin(0.0, 9.0, -0.25),))
    bad = Trust(
        "reject", ("a <spot>",), (), {"structure_lost": 2.0}, advice=("--strength 0.6", "--method nlm")
    )
    entries = [entry(key=verdict.verdict, title=verdict.verdict, trust=verdict) for verdict in (good, bad)]
    text = compose.compose(page(*entries))
    alerts = re.search(r'<ul class="alerts".*?</ul>', text, re.DOTALL).group()
    assert '<li class="bad"><b>Reject</b>' in alerts and '">reject</a>)' in alerts
    assert '<p class="verdict ok"><b>ok</b> No check found' in text
    rejected = "A &lt;spot&gt;. Try one of: --strength 0.6 or --method nlm."
    assert f'<p class="verdict reject"><b>reject</b> {rejected}</p>' in text
    assert '<td class="n reject">2</td>' in text and '<td class="n ok">0.5</td>' in text
    assert '<td class="n">−0.25\u202fHU</td>' in text
    assert read_trust(json.loads(json.dumps(asdict(good)))) == good


def test_every_metric_says_what_it_means():
    assert all(meaning_of(name) for name in METRICS)


def test_a_reference_is_drawn_and_measured_before_and_after(study, tmp_path):
    denoise(study / "0.dcm", "--ref", study / "0.dcm", "-o", tmp_path / "one.dcm")
    row = json.loads((tmp_path / "one-report.json").read_text())["series"][0]
    assert row["noisy_metrics"]["rmse"] == 0 < row["metrics"]["rmse"]
    text = (tmp_path / "one-report.html").read_text()
    assert '"reference":' in text and '<th scope="col" class="n">Before</th>' in text


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OutputError, match="cannot be written"):
        compose.write_page(page(entry()), tmp_path / "file" / "p.html")
