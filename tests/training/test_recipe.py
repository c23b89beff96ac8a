"""Recipes: a file with anything in it is a recipe, or one sentence that names the part that is wrong."""

import inspect
import re
import tomllib
from copy import deepcopy
from dataclasses import fields
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meddenoise.errors import TrainingError, UsageError
from meddenoise.networks import NETWORKS
from meddenoise.noise import NoiseEstimate
from meddenoise.training.checked import Within
from meddenoise.training.data.degradation import degrade
from meddenoise.training.data.mix import KINDS, NoiseMix
from meddenoise.training.data.noise_draws import draw_labelled
from meddenoise.training.loop import LoopOptions
from meddenoise.training.recipe import (
    Conditional,
    DataRow,
    DiffusionOptions,
    Recipe,
    ScoreOptions,
    Simulated,
    TargetOptions,
)
from meddenoise.training.recipe_file import KEYS, parse, read_recipe, shipped_recipes
from meddenoise.training.table import find_row

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
SHIPPED = {name: tomllib.loads(path.read_text()) for name, path in shipped_recipes().items()}
FILLED: dict[str, Any] = {
    **dict.fromkeys(("training", "blind", "diffusion"), LoopOptions),
    **{"noise": NoiseMix, "sampler": DiffusionOptions, "targets": TargetOptions, "simulated": Simulated},
    **{"score": ScoreOptions, "conditional": Conditional, "data": DataRow},
}
"""The dataclass that each table of a recipe fills."""
BESIDE = {"blind_network": "blind-spot", "diffusion_network": "cond-unet"}

NUMBERS = [-1, 0, 1, 2, 3, -0.5, 0.5, 1.5, float("nan"), float("inf"), 10**400]
SCALARS = st.sampled_from(NUMBERS) | st.integers() | st.floats() | st.text() | st.booleans() | st.dates()
VALUES = st.recursive(SCALARS, lambda few: st.lists(few) | st.dictionaries(st.text(), few), max_leaves=6)
"""Whatever TOML can say, with much of what is nearly right."""


def recipe(folder: Path, old: str = "", new: str = "") -> Path:
    path = folder / "mine.toml"
    assert old in TEXT
    path.write_text(TEXT.replace(old, new, 1) if old else TEXT)
    return path


def places(table: dict[str, Any]) -> list[tuple[str, str]]:
    """Every table and key of a recipe, those it leaves out too; the table is "" at the top."""
    found = [("", key) for key in KEYS]
    found += [(name, field.name) for name, kind in FILLED.items() for field in fields(kind)]
    for name, network in {"network": find_row(table["method"]).network, **BESIDE}.items():
        found += [(name, option) for option in inspect.signature(resolve_name(NETWORKS[network])).parameters]
    return [("network", "name"), ("own_noise", "ct/*"), ("noise_models", "gaussian:5"), *found]


@pytest.mark.parametrize("name", SHIPPED)
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
        ('method = "direct"', 'method = "drect"', "no method 'drect': did you mean 'direct'"),
        ('method = "direct"', "method = 5", "method is 5, it must be a text"),
        ('["CT", "MR"]', '"CT"', "modalities is 'CT', .* a list of one or more, each a text out of 'CT'"),
        ('["CT", "MR"]', "[]", r"modalities is \[\], it must be a list of one or more"),
        ('[network]\nname = "noise-unet"', "network = 3", "network is 3, it must be a table"),
        ('"noise-unet"', '"vpsde-unet"', r"name in \[network\] is 'vpsde-unet', .* out of 'noise-unet'"),
        ('"noise-unet"', '"noise-unet"\nchanels = [8]', r"\[network\] cannot .*did you mean 'channels'"),
        ('"noise-unet"', '"noise-unet"\nframes = 5', r"frames in \[network\] is 5, .* one of \(1, 3\)"),
        ('"noise-unet"', '"noise-unet"\nchannels = [0, 8]\nblocks = [1, 1]', "number 1 of channels is 0"),
        ('"noise-unet"', '"noise-unet"\nchannels = [8, 8]', "channels has 2 levels and blocks 3"),
        ("[training]", "[trainig]", "did you mean 'training'"),
        ("[training]", "[blind]", r"a table \[blind\] for 'direct': leave it out"),
        ("batch = 4", "batch = 2.5", r"batch in \[training\] is 2.5, .* a whole number from 1 to 4,096"),
        ("batch = 4", "batch = true", "is True, it must be a whole number from 1"),
        ("batch = 4", "batch = -1", "is -1, it must be a whole number from 1"),
        ("batch = 4", "patch = 0", r"patch in \[training\] is 0"),
        ("batch = 4", "patch = 8", r"patch in \[training\] is 8, it must be at least 16"),
        ("batch = 4", "ema = 2", r"ema in \[training\] is 2, it must be a number from 0 to 1\."),
        ("batch = 4", "bach = 4", "did you mean 'batch'"),
        ("learning_rate = 1e-3", "learning_rate = nan", "is nan, it must be a number above 0, at most 1"),
        ("learning_rate = 1e-3", "learning_rate = -1", "is -1, it must be a number above 0, at most 1"),
        ('"ct/*" = 3', '"ct/*" = "much"', r"'ct/\*' in \[own_noise\] is 'much', .* from 0 to 255"),
        ("[own_noise]", "[noise]\nsigma_min = 9\nsigma_max = 4\n[own_noise]", "is 9, above sigma_max, 4"),
        (
            "[own_noise]",
            "[noise]\nnone = 0\nwhite = 0\ncoloured = 0\nsignal_dependent = 0\n[own_noise]",
            "are all 0: at least one must be more",
        ),
        ("weight = 2", "weight = inf", r"weight in \[\[data\]\] is inf, it must be a number from 0"),
        ("weight = 2", "weight = 0", r"no table \[\[data\]\] has a weight above 0"),
        ("weight = 2", 'limits = [["a", 1]]', "there is no setting of .* 'limits'"),
        ('folder = "ct"', 'phantom = "knee"', r"phantom in \[\[data\]\] is 'knee', .* out of ''"),
        ("[[data]]", "[data]", r"\[\[data\]\] is .*, it must be a list of one or more, each a table"),
        ("[[data]]", "[[data", "cannot be read as a recipe"),
        ("batch = 4", f"batch = 1{'0' * 5000}", "cannot be read as a recipe"),
        ('"noise-unet"', '"noise-unet"\nbands = 0x1' + '0' * 5000, r"\[network\] cannot be used"),
        ("batch = 4", f"batch = 0x1{'0' * 5000}", "is a number of thousands of digits"),
    ],
)  # fmt: skip
def test_each_fault_is_named_with_its_file(old: str, new: str, said: str, tmp_path: Path) -> None:
    path = recipe(tmp_path, old, new)
    with pytest.raises(TrainingError, match=f"^{re.escape(str(path))}.*{said}"):
        read_recipe(str(path))


@pytest.mark.parametrize(
    ("name", "table", "changed", "said"),
    [
        ("vpsde", "score", {"window": [5, 5]}, "begins at 5 and ends at 5"),
        ("vpsde", "training", {"patch": 30}, "a multiple of 4"),
        ("vpsde", "network", {"width": 20}, "width is 20: give a multiple of 6"),
        ("noise-estimator", "training", {"patch": 48}, "at least 64"),
        ("befoi", "network", {"frames": 1}, r"must be one of \(3,\)"),
        ("medcdiff", "diffusion_network", {"profile": "fat"}, "no profile 'fat'"),
        ("medcdiff", "diffusion_network", {"condition": 2}, "leave it out"),
        ("medcdiff", "conditional", {"loss": "l1"}, "out of 'rms', 'l2'"),
        ("diffdenoise", "simulated", {"shares": [0.5, 0.5]}, "3 kernels need as many shares"),
        ("diffdenoise", "simulated", {"shares": [0.5, 0.5, 0.5]}, "whose sum is 1"),
        ("diffdenoise", "sampler", {"schedule": "cosine"}, "out of .*'cosine-1000'"),
        ("diffdenoise", "targets", {"steps": 2000}, "2000 steps, cosine-1000 only 1000"),
        ("diffdenoise", "targets", {"crop": 64}, "less than the patch of 96"),
        ("diffdenoise", "blind_network", {"bands": 16}, r"must be one of \(4,\)"),
    ],
)
def test_values_that_a_method_cannot_use_are_refused(
    name: str, table: str, changed: dict[str, Any], said: str
) -> None:
    content = deepcopy(SHIPPED[name])
    content.setdefault(table, {}).update(changed)
    with pytest.raises(TrainingError, match=rf"^changed\.toml.*{said}"):
        parse(Path("changed.toml"), content)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_any_other_value_of_any_key_gives_a_recipe_or_a_sentence(data: st.DataObject) -> None:
    content = deepcopy(SHIPPED[data.draw(st.sampled_from(sorted(SHIPPED)))])
    table, key = data.draw(st.sampled_from(places(content)))
    place = content if not table else content.setdefault(table, [{}] if table == "data" else {})
    (place[0] if isinstance(place, list) else place)[key] = data.draw(VALUES)
    try:
        assert isinstance(parse(Path("changed.toml"), content), Recipe)
    except TrainingError as error:
        assert re.fullmatch(r"changed\.toml\b.*\.", str(error)), error
        assert key in str(error) or table in str(error)


def within(hint: Any) -> st.SearchStrategy[float]:
    """Numbers that a field allows, its ends too."""
    limit = get_args(hint)[1]
    assert isinstance(limit, Within)
    return st.floats(limit.least, limit.most, exclude_min=limit.above)


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_noise_can_be_drawn_from_every_mix_that_is_allowed(data: st.DataObject) -> None:
    hints = get_type_hints(NoiseMix, include_extras=True)
    changed: dict[str, Any] = {
        name: data.draw(within(hints[name])) for name in hints if name not in ("bands", "models")
    }
    changed["sigma_min"], changed["sigma_max"] = sorted((changed["sigma_min"], changed["sigma_max"]))
    if not any(changed[kind] for kind in KINDS):
        changed["white"] = 1.0
    mix = NoiseMix(**changed)
    rng = np.random.default_rng(0)
    clean = np.float32(255) * rng.random((32, 32), np.float32)
    for modality in ("CT", "MR", "XA"):
        own = NoiseEstimate(data.draw(st.sampled_from([0.0, 0.3, 6.0])))
        drawn = degrade(clean, own, modality, mix, rng)
        labelled = draw_labelled(clean, own, modality, mix, rng)
        made = drawn.noisy, drawn.told, drawn.bands, labelled.noisy, labelled.level
        assert all(np.isfinite(part).all() for part in made)


def test_a_name_that_is_none_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'direct'"):
        read_recipe("drect")
    with pytest.raises(TrainingError, match=r"none\.toml cannot be read as a recipe"):
        read_recipe(str(tmp_path / "none.toml"))
