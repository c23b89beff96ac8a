"""The page that leads a newcomer through the house shows the house as it is."""

import re
from importlib import import_module

from meddenoise.io.layout import stem
from tests.test_house import PACKAGE, ROOMS
from tools.draw_architecture import PICTURE, STEPS, draw, find_imports

PAGE = PICTURE.with_name("architecture.md").read_text(encoding="utf-8")
WAY = re.findall(r"^\| (\d+) \| (.+?) \|", PAGE, re.MULTILINE)


def test_the_picture_is_that_of_the_imports_of_today():
    assert PICTURE.read_text(encoding="utf-8") == draw(), "run python tools/draw_architecture.py"


def test_every_arc_of_the_picture_leads_down():
    assert all(ROOMS.index(there) < ROOMS.index(here) for here, there in find_imports())


def test_every_step_of_the_way_names_what_there_is_and_its_room_bears_its_number():
    assert [int(number) for number, _ in WAY] == list(range(1, len(WAY) + 1))
    for number, where in WAY:
        for module, name in re.findall(r"`([\w.]+):([\w.]+)`", where):
            found = import_module(f"meddenoise.{module}")
            for attribute in name.split("."):
                found = getattr(found, attribute)
            assert callable(found)
            assert number in STEPS[module.split(".")[0]].split(", "), (
                f"{module} has no {number} in the picture"
            )


def test_every_room_but_files_without_a_story_is_in_the_picture():
    rooms = {path.name if path.is_dir() else stem(path).removesuffix(".py") for path in PACKAGE.iterdir()}
    code = {name for name in rooms if (PACKAGE / name / "__init__.py").exists() or name in ROOMS}
    assert code == set(ROOMS)
