"""The HTML report in a real browser: it draws, swipes, flickers, loads nothing and fits its window."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from meddenoise.evaluation import evaluate
from meddenoise.evaluation.page import write_evaluation
from meddenoise.evaluation.pair import EvaluationOptions
from meddenoise.report.page import Levels
from meddenoise.report.page.compose import write_page
from meddenoise.report.page.drawing import draw_series
from meddenoise.trust import Bin, Trust
from tests.page_samples import HOSTILE, entry, page, series, shown
from tests.report.page.browser import CHROMIUM, DRIVER, Browser

pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")

READY = (
    "return document.querySelectorAll('.row canvas').length > 2"
    " && !!document.querySelector('.told')?.textContent"
)
PIXELS = (
    "const c = document.querySelector('.stage canvas');"
    "const row = c.getContext('2d').getImageData(0, c.height >> 1, c.width, 1).data;"
    "return [...row].filter((_, i) => i % 4 == 0)"
)
FOCUS = "document.querySelector('.handle').focus()"
NOW = "return Number(document.querySelector('.handle').getAttribute('aria-valuenow'))"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    try:
        running = Browser(tmp_path_factory.mktemp("profile"))
    except (OSError, AssertionError) as error:
        pytest.skip(f"chromium does not start on this machine: {error}")
    yield running
    running.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    values = {"structure_lost": 2.0, "lesion_survival": 0.7}
    trust = Trust("reject", ("structure was removed",), (), values, (Bin(0.0, 60.0, -3.0),))
    write_page(page(entry(trust=trust), drawing=draw_series(shown())), path)
    return path


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of three sets of results of two patients, with long names."""
    folder = tmp_path_factory.mktemp("evaluated")
    rng = np.random.default_rng(0)
    sets = {"ref": 0.0, "noisy": 9.0} | {f"a_rather_long_name_of_a_method_{n}": 2.0 + n for n in range(3)}
    for name, sigma in sets.items():
        (folder / name).mkdir()
        for n in range(2):
            pixels = np.rint(np.add.outer(np.arange(96), np.arange(96)) + rng.normal(0, sigma, (96, 96)))
            Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / name / f"{n}.png")
    results = [folder / name for name in sets if name.startswith("a")]
    found = evaluate(results, folder / "ref", folder / "noisy", EvaluationOptions())
    assert write_evaluation(found, folder / "e.html") == ()
    return folder / "e.html"


@pytest.fixture
def ready(browser: Browser, file: Path) -> Browser:
    browser.resize(1280)
    browser.open(file, READY)
    return browser


def expected(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((values - low) * 255 / (high - low), 0, 255)


def test_the_page_shows_the_pixels_of_both_images_in_the_window(ready: Browser) -> None:
    before, after = (part.values(4, 5)[0] for part in (shown().before, shown().after))
    ready.run(FOCUS)
    for key, image in (("Home", after), ("End", before)):
        ready.press(key)
        wanted = expected(image[image.shape[0] // 2], -160, 240)
        assert np.abs(np.array(ready.run(PIXELS)) - wanted).max() < 1.5
    ready.press("2")
    wanted = expected(before[before.shape[0] // 2], -1350, 150)
    assert np.abs(np.array(ready.run(PIXELS)) - wanted).max() < 1.5


def test_arrow_keys_swipe_and_change_the_picture(ready: Browser) -> None:
    ready.run(FOCUS)
    middle = ready.run(PIXELS)
    ready.press(*["ArrowRight"] * 5)
    assert ready.run(NOW) == 60
    right = ready.run(PIXELS)
    width = len(middle)
    assert right != middle
    assert right[: width // 2] == middle[: width // 2]
    ready.press(*["ArrowLeft"] * 10)
    assert ready.run(NOW) == 40


def test_a_drag_of_the_mouse_swipes(ready: Browser) -> None:
    box = ready.run("return document.querySelector('.stage').getBoundingClientRect().toJSON()")
    before = ready.run(PIXELS)
    y = box["top"] + 300
    ready.drag((box["left"] + box["width"] / 2, y), (box["left"] + box["width"] * 0.8, y))
    assert ready.run(NOW) == 80
    assert ready.run(PIXELS) != before
    assert ready.run("return document.activeElement.className") == "handle"


def test_flicker_shows_one_image_after_the_other(ready: Browser) -> None:
    ready.run(FOCUS)
    ready.press("End")
    left = ready.run(PIXELS)
    ready.press("Home")
    right = ready.run(PIXELS)
    ready.press("f")
    assert ready.run("return document.querySelector('.flicker').ariaPressed") == "true"
    seen = []
    Browser._wait_for(lambda: seen.append(ready.run(PIXELS)) or (left in seen and right in seen))
    ready.press("f")
    assert ready.run("return document.querySelector('.flicker').ariaPressed") == "false"
    # the space bar switches by hand
    ready.press("Space")
    first = ready.run(PIXELS)
    ready.press("Space")
    assert sorted([first, ready.run(PIXELS)]) == sorted([left, right])


def test_without_motion_flicker_switches_only_when_asked(ready: Browser) -> None:
    ready.command(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    )
    try:
        ready.run(FOCUS)
        ready.press("f")
        assert ready.run("return document.querySelector('.flicker').ariaPressed") == "false"
        assert ready.run("return document.querySelector('.stage').classList.contains('single')")
    finally:
        ready.command("Emulation.setEmulatedMedia", {"features": []})


def test_other_pictures_are_chosen_by_key_and_by_mouse(ready: Browser) -> None:
    ready.run(FOCUS)
    ready.press("PageDown")
    pressed = "return [...document.querySelectorAll('.row')].findIndex(r => r.ariaPressed == 'true')"
    assert ready.run(pressed) == 1
    Browser._wait_for(lambda: ready.run("return document.querySelector('.stage canvas').width") == 32)
    ready.run("document.querySelectorAll('.row')[0].click()")
    assert ready.run(pressed) == 0


def test_the_residual_can_be_compared_and_grey_is_zero(ready: Browser) -> None:
    ready.run(
        "const s = document.querySelector('.pair select'); s.value = 'removed';"
        "s.dispatchEvent(new Event('change'))"
    )
    ready.run(FOCUS)
    ready.press("End")
    pixels = np.array(ready.run(PIXELS))
    sample = shown()
    residual = (sample.before.values(4, 5) - sample.after.values(4, 5))[0]
    wanted = expected(residual[residual.shape[0] // 2], -60, 60)
    assert np.abs(pixels - wanted).max() < 3.2
    assert "Removed: before minus after" in ready.run("return document.querySelector('.told').textContent")


def test_there_are_no_errors_and_no_requests_but_the_page(browser: Browser, file: Path) -> None:
    browser.resize(1280)
    browser.open(file, READY)
    assert browser.requests() == [file.resolve().as_uri()]
    browser.run(FOCUS)
    browser.press("f", "2", "PageDown", "PageUp", "f")
    assert browser.logs("browser") == []


def test_scripts_that_are_not_the_pages_own_are_refused(browser: Browser, file: Path, tmp_path: Path) -> None:
    added = "<script>document.title = 'owned'</script><img src=x onerror=\"document.title = 'owned'\">"
    bad = tmp_path / "bad.html"
    bad.write_text(file.read_text().replace("<main>", f"<main>{added}"))
    browser.open(bad, READY)
    assert browser.run("return document.title") == "meddenoise report"


def test_hostile_strings_are_text(browser: Browser, tmp_path: Path) -> None:
    hostile = entry(
        title=HOSTILE, about=(HOSTILE,), facts=(("Input", HOSTILE),), warnings=(HOSTILE,),
        noise=Levels(20.0, 5.0, 19.0, HOSTILE), metrics={"psnr": 30.0, HOSTILE: 1.0},
    )  # fmt: skip
    drawing = draw_series(shown(unit=HOSTILE, identity=(("Patient", HOSTILE),)))
    write_page(
        page(hostile, entry(key="b"), drawing=drawing, failed=((HOSTILE, HOSTILE),)), tmp_path / "h.html"
    )
    browser.open(tmp_path / "h.html", READY)
    assert browser.run("return document.title") == "meddenoise report"
    assert browser.run("return document.querySelectorAll('img, b script, h2 *').length") == 0
    assert browser.run("return document.querySelector('h2').textContent") == HOSTILE
    assert HOSTILE in browser.run("return document.querySelector('.told').textContent")
    assert browser.logs("browser") == []


@pytest.mark.parametrize("kind", ["file", "evaluated"])
@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_sticks_out_of_the_window(
    width: int, kind: str, browser: Browser, request: pytest.FixtureRequest
) -> None:
    browser.resize(width)
    browser.open(request.getfixturevalue(kind), READY)
    browser.run("document.querySelectorAll('details').forEach(e => { e.open = true })")
    assert browser.logs("browser") == []
    assert browser.run("return document.documentElement.scrollWidth") == width
    sticking = (
        "return [...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > "
        f"{width} + 1 && !e.closest('.scroll, .stage')).map(e => e.tagName + '.' + e.className)"
    )
    assert browser.run(sticking) == []


def test_on_a_phone_the_checks_fit_without_scrolling(browser: Browser, file: Path) -> None:
    browser.resize(400)
    browser.open(file, READY)
    browser.run("document.querySelectorAll('details').forEach(e => { e.open = true })")
    box = "const box = document.querySelector('.checks').parentElement;"
    assert browser.run(f"{box} return box.scrollWidth - box.clientWidth") == 0
    lines = "[...document.querySelectorAll('.checks tbody tr:first-child > .n')].map(e => e.offsetTop)"
    assert len(set(browser.run(f"return {lines}"))) == 1


def test_on_a_phone_all_columns_of_the_means_are_reached(browser: Browser, evaluated: Path) -> None:
    folder = evaluated.parent
    found = evaluate([next(folder.glob("a*"))], folder / "ref", folder / "noisy", EvaluationOptions())
    assert write_evaluation(found, folder / "one.html") == ()
    browser.resize(400)
    table = "const s = document.querySelector('.standings').parentElement; "
    hidden = f"{table} return s.scrollWidth - s.clientWidth"
    browser.open(folder / "one.html", READY)
    assert browser.run(hidden) == 0
    # of several results the names of the measures stay where the rest scrolls
    browser.open(evaluated, READY)
    assert browser.run(hidden) > 0
    end = f"{table} s.scrollLeft = 9999;"
    place = "s.querySelector('{}').getBoundingClientRect()"
    assert browser.run(f"{end} return {place.format('tbody th')}.left") < 20
    assert browser.run(f"{end} return {place.format('thead th:nth-last-child(2)')}.right") <= 400


def test_all_controls_are_reached_by_tab_and_show_their_focus(ready: Browser) -> None:
    seen = set()
    for _ in range(14):
        ready.press("Tab")
        seen.add(ready.run("return document.activeElement.className + document.activeElement.tagName"))
        outlined = ready.run(
            "const e = document.activeElement, on = e.className == 'handle' ? e.firstChild : e,"
            "s = getComputedStyle(on); return s.outlineStyle != 'none' || s.boxShadow.includes('4px')"
        )
        assert outlined, ready.run("return document.activeElement.outerHTML")
    assert {"SELECT", "flickerBUTTON", "BUTTON", "handleDIV"} <= seen
    assert any(name.startswith("row") for name in seen)


def test_it_prints(ready: Browser) -> None:
    assert ready.print_pdf().startswith(b"%PDF")


def test_a_picture_without_a_noisy_image_shows_the_reference(browser: Browser, tmp_path: Path) -> None:
    sample = shown()
    alone = replace(sample, before=None, reference=series(sample.after.values(0, 8) + 3))
    write_page(page(entry(), drawing=draw_series(alone)), tmp_path / "r.html")
    browser.open(tmp_path / "r.html", READY)
    options = browser.run("return [...document.querySelectorAll('.pair select')[0]].map(o => o.value)")
    assert options == ["after", "reference", "error"]
    assert browser.logs("browser") == []


def test_a_cine_plays_pauses_and_is_scrubbed(browser: Browser, tmp_path: Path) -> None:
    drawing = draw_series(shown(modality="XA", frame_time_ms=40.0))
    write_page(page(entry(), drawing=drawing), tmp_path / "c.html")
    browser.resize(1280)
    browser.open(tmp_path / "c.html", READY)
    told = "return document.querySelector('.told').textContent"
    assert browser.run("return document.querySelector('.counter').textContent") == "25 frames/s"
    browser.run("document.querySelector('.player button').click()")
    frames: set[str] = set()
    Browser._wait_for(lambda: frames.add(browser.run(told)) or len(frames) >= 3)
    browser.run(FOCUS)
    browser.press("p")
    assert browser.run("return document.querySelector('.player button').textContent") == "Play"
    browser.run(
        "const s = document.querySelector('.player input'); s.value = 6; s.dispatchEvent(new Event('input'))"
    )
    Browser._wait_for(lambda: browser.run(told).startswith("Frame 6 of 8."))
    browser.run(FOCUS)
    browser.press("PageDown")
    Browser._wait_for(lambda: browser.run(told).startswith("Frame 7 of 8."))
    assert browser.logs("browser") == []


def test_every_picture_has_the_scale_of_its_greys(ready: Browser) -> None:
    scales = "return [...document.querySelectorAll('.scale')].map(s => s.textContent)"
    assert ready.run(scales) == ["−160240 HU", "−160240 HU"]
    ready.run(
        "const s = document.querySelector('.pair select'); s.value = 'removed';"
        "s.dispatchEvent(new Event('change'))"
    )
    assert ready.run(scales) == ["−6060 HU", "−160240 HU"]
    small = ready.run("return [...document.querySelectorAll('.row small')].map(s => s.textContent)")
    assert "Removed ±60 HU" in small


def test_two_results_of_one_image_are_swiped_against_each_other(browser: Browser, evaluated: Path) -> None:
    browser.resize(1280)
    browser.open(evaluated, READY)
    browser.run("document.querySelector('.fold').open = true")
    names = browser.run("return [...document.querySelectorAll('.pair select')[0]].map(o => o.textContent)")
    assert names[:2] == ["Before", "a_rather_long_name_of_a_method_0"]
    assert {"a_rather_long_name_of_a_method_1", "a_rather_long_name_of_a_method_2"} <= set(names)
    browser.run(
        "const s = document.querySelector('.pair select'); s.value = 'rival0';"
        "s.dispatchEvent(new Event('change'))"
    )
    browser.run(FOCUS)
    browser.press("End")
    folder = evaluated.parent / "a_rather_long_name_of_a_method_1"
    rival = np.asarray(Image.open(folder / "0.png"), np.float32)
    low, high = browser.run(
        "return document.querySelector('.told').textContent.match(/Window (.*) to ([^.]*)/).slice(1)"
    )
    wanted = expected(rival[48], float(low), float(high))
    assert np.abs(np.array(browser.run(PIXELS)) - wanted).max() < 4


def test_many_series_begin_as_a_summary_whose_links_open_them(browser: Browser, tmp_path: Path) -> None:
    verdicts = ["ok", "ok", "look", "ok", "reject"]
    entries = [
        entry(key=str(n), title=f"in/{n}", trust=Trust(verdict, (), (), {}, ()))
        for n, verdict in enumerate(verdicts)
    ]
    write_page(page(*entries, drawing=draw_series(shown())), tmp_path / "m.html")
    browser.open(tmp_path / "m.html")
    assert browser.run("return document.querySelector('caption').textContent") == (
        "5 series: 1 reject, 1 look, 3 ok"
    )
    folded = "return [...document.querySelectorAll('.fold')].map(d => d.open)"
    assert browser.run(folded) == [False] * 5
    browser.run("document.querySelectorAll('.all a')[3].click()")
    Browser._wait_for(lambda: browser.run(folded) == [False] * 3 + [True, False])
