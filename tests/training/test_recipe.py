"""Recipes: a file with anything in it is a recipe, or one sentence that names the part that is wrong."""

import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import TrainingError, UsageError
from meddenoise.training.recipe import DataRow, Recipe, read_recipe, shipped_recipes

TEXT = """\
method = "direct"
modalities = ["CT", "MR"]
start = "direct"
[network]
name = "noise-unet"
[training]
batch = 4
learning_rate = 1e-3
[own_noise]
"ct/*" = 3
[[data]]
folder = "ct"
weight = 2
"""
VALUES = ("nan", "inf", "1e400", "-1", "0", "2.5", "true", "[]", "{}", '"x"', '[1, "a"]', "1979-05-27")


def recipe(folder: Path, old: str = "", new: str = "") -> Path:
    path = folder / "mine.toml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1) if old else TEXT)
    return path


@pytest.mark.parametrize("name", shipped_recipes())
def test_every_shipped_recipe_is_read_and_bears_its_name(name: str) -> None:
    found = read_recipe(name)
    assert found.name == name and found.data and found.modalities and found.licence


def test_a_recipe_says_what_its_file_says(tmp_path: Path) -> None:
    found = read_recipe(str(recipe(tmp_path)))
    assert (found.name, found.method, found.network) == ("mine", "direct", "noise-unet")
    assert found.modalities == ("CT", "MR") and found.network_options == {}
    assert found.loop.batch == 4 and found.loop.learning_rate == 1e-3
    assert found.data == (DataRow(folder="ct", weight=2, limits=(("ct/*", 3.0),)),)
    assert found.data[0].most_own("ct/a.png") == 3 and found.data[0].most_own("mr/a.png") == float("inf")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('method = "direct"\n', "", "it has no 'method'"),
        ('["CT", "MR"]', '"CT"', "modalities is 'CT', it must be a list"),
        ('["CT", "MR"]', "[1]", r"modalities is \[1\], it must be a list"),
        ('method = "direct"', "method = 5", "method is 5, it must be a text"),
        ('[network]\nname = "noise-unet"', "network = 3", "network is 3, it must be a table"),
        ("batch = 4", "batch = 2.5", "batch is 2.5, it must be of type int"),
        ("batch = 4", "batch = true", "batch is True, it must be of type int"),
        ("learning_rate = 1e-3", "learning_rate = nan", "learning_rate is nan, it must be of type float"),
        ("batch = 4", "bach = 4", "did you mean 'batch'"),
        ('"ct/*" = 3', '"ct/*" = "much"', "own_noise is .*, it must be a table of numbers"),
        ("weight = 2", "weight = inf", "weight is inf, it must be of type float"),
        ("[[data]]", "[data]", r"data is .*, it must be written as tables \[\[data\]\]"),
        ("[[data]]", "[[data", "cannot be read as a recipe"),
    ],
)
def test_each_fault_is_named_with_its_file(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = recipe(tmp_path, old, new)
    with pytest.raises(TrainingError, match=f"^{re.escape(str(path))}.*{said}"):
        read_recipe(str(path))


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(shipped_recipes())), st.integers(0, 10_000), st.sampled_from(VALUES))
def test_any_other_value_in_a_shipped_recipe_gives_a_recipe_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, name: str, place: int, value: str
) -> None:
    lines = shipped_recipes()[name].read_text().splitlines()
    set_here = [n for n, line in enumerate(lines) if re.match(r'[\w"/*]+ = ', line)]
    chosen = set_here[place % len(set_here)]
    lines[chosen] = f"{lines[chosen].partition(' = ')[0]} = {value}"
    path = tmp_path_factory.getbasetemp() / "changed.toml"
    path.write_text("\n".join(lines))
    try:
        assert isinstance(read_recipe(str(path)), Recipe)
    except TrainingError as error:
        assert str(path) in str(error)
    except tomllib.TOMLDecodeError as error:
        pytest.fail(f"not told as a fault of the recipe: {error}")


def test_a_name_that_is_none_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'direct'"):
        read_recipe("drect")
    with pytest.raises(TrainingError, match=r"none\.toml cannot be read as a recipe"):
        read_recipe(str(tmp_path / "none.toml"))
