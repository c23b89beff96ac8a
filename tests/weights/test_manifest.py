"""The manifest is read strictly, and the best row for a modality is the one with the best score."""

import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from meddenoise.errors import WeightsError
from meddenoise.weights import manifest as manifest_module
from meddenoise.weights.hub import HubFile
from meddenoise.weights.manifest import (
    MANIFEST,
    OTHER,
    WeightsRow,
    best_for,
    choose,
    published,
    read_manifest,
)
from tests.weights.published import row

HUB = {"repo": "loopback/made-up", "revision": "v1", "file": "a/net.safetensors"}


@pytest.fixture
def rows(tmp_path, monkeypatch):
    """A function that makes its arguments, TOML texts, the manifest."""

    def write(*texts):
        path = tmp_path / "weights_manifest.toml"
        path.write_text("".join(texts), encoding="utf-8")
        manifest_module._read_once.cache_clear()
        monkeypatch.setattr(manifest_module, "MANIFEST", path)
        return path

    yield write
    manifest_module._read_once.cache_clear()


def test_every_row_of_the_shipped_manifest_has_its_file_and_card():
    """Reads the one of this checkout; each bundled file has the size and hash its row states."""
    import hashlib

    top = Path(manifest_module.__file__).parents[2]
    for name, shipped in published().items():
        assert shipped.name == name
        assert (top / shipped.card).is_file()
        assert (top / "meddenoise" / "recipes" / f"{shipped.recipe}.toml").is_file()
        if shipped.source == "bundled":
            content = (top / "meddenoise" / "checkpoints" / shipped.file).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (shipped.bytes, shipped.sha256)


def test_the_shipped_manifest_documents_every_field():
    text = MANIFEST.read_text(encoding="utf-8")
    tomllib.loads(text)
    for entry in fields(WeightsRow):
        assert f"#   {entry.name} " in text


def test_a_row_comes_back_as_written(rows):
    path = rows(row("a", b"x"), row("b", b"yy", modality=["MR", OTHER], source=HUB,
                scores={"validation-mr": 30, "validation-other": 29.5, "ldct": 1.0}))  # fmt: skip
    assert list(read_manifest(path)) == ["a", "b"] == list(published())
    first, second = read_manifest(path).values()
    assert first.source == "bundled" and first.modality == ("CT",) and first.bytes == 1
    assert first.training_data == ("Phantoms [generated]",)
    assert second.source == HubFile("loopback/made-up", "a/net.safetensors", "v1")
    assert second.scores == {"validation-mr": 30, "validation-other": 29.5, "ldct": 1.0}


def test_an_empty_manifest_has_no_rows(rows):
    rows("# nothing yet\n")
    assert published() == {}


@pytest.mark.parametrize("field", [entry.name for entry in fields(WeightsRow)])
def test_each_missing_field_is_named(rows, field):
    with pytest.raises(WeightsError, match=f"lacks the field '{field}'"):
        read_manifest(rows(row("a", b"x", **{field: None})))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"name": ""}, "name must be a str that is not empty"),
        ({"modality": "CT"}, "modality must be a list"),
        ({"modality": []}, "modality must be a list that is not empty"),
        ({"modality": ["ct"]}, "a list of DICOM codes"),
        ({"modality": [3]}, "a list of DICOM codes"),
        ({"modality": ["CT", "MR"]}, "'validation-mr' in it"),
        ({"file": "../a.safetensors"}, "no folder"),
        ({"file": "a.pt"}, "a .safetensors file name"),
        ({"sha256": "A" * 64}, "64 lower-case"),
        ({"sha256": "a" * 63}, "64 lower-case"),
        ({"bytes": True}, "bytes must be a int"),
        ({"bytes": 0}, "the size of the file"),
        ({"training_data": [1]}, "a list of attributions"),
        ({"scores": {"validation-ct": "good"}}, "finite numbers"),
        ({"scores": {"psnr": 3.0}}, "'validation-ct' in it"),
        ({"source": "hub"}, "'bundled' or a table"),
        ({"source": {"repo": "a/b", "file": "c"}}, "'bundled' or a table"),
        ({"source": HUB | {"repo": "a"}}, "'bundled' or a table"),
        ({"source": HUB | {"file": "../c"}}, "'bundled' or a table"),
        ({"source": HUB | {"revision": ""}}, "'bundled' or a table"),
        ({"source": HUB | {"revision": 1}}, "'bundled' or a table"),
    ],
)
def test_a_wrong_value_is_refused_with_row_and_field(rows, changes, said):
    path = rows(row("good", b"x"), row("bad", b"x", **changes))
    with pytest.raises(WeightsError) as caught:
        read_manifest(path)
    assert said in str(caught.value)
    assert f"{path}, [[weights]] number 2" in str(caught.value)


def test_scores_that_are_no_numbers_are_refused(rows):
    text = row("a", b"x").replace("38.5", "nan")
    with pytest.raises(WeightsError, match="finite numbers"):
        read_manifest(rows(text))


def test_two_rows_of_one_name_are_refused(rows):
    with pytest.raises(WeightsError, match="two rows named 'a'"):
        read_manifest(rows(row("a", b"x"), row("a", b"y")))


@pytest.mark.parametrize(
    "text", ["[[weight]]\n", "weights = 3\n", "weights = [3]\n", "title = 'x'\n", "[[weights\n"]
)
def test_a_file_that_is_no_manifest_is_refused(rows, text):
    path = rows(text)
    with pytest.raises(WeightsError, match=r"weights_manifest\.toml"):
        read_manifest(path)


def test_a_missing_manifest_is_said(tmp_path):
    with pytest.raises(WeightsError, match="cannot be read"):
        read_manifest(tmp_path / "none.toml")


@pytest.fixture
def several(rows):
    both = {"validation-ct": 38.0, "validation-mr": 35.0}
    wide = {"validation-xa": 30.0, "validation-other": 25.0}
    rows(
        row("plain", b"1"),
        row("both", b"2", modality=["CT", "MR"], scores=both),
        row("other-method", b"3", method="adhoc", scores={"validation-ct": 39.0}),
        row("wide", b"4", modality=["XA", OTHER], scores=wide),
    )


@pytest.mark.parametrize(
    ("method", "modality", "expected"),
    [
        ("cascade", "CT", "plain"),
        ("cascade", "MR", "both"),
        ("cascade", "XA", "wide"),
        ("cascade", "US", "wide"),
        ("cascade", "", "wide"),
        ("adhoc", "CT", "other-method"),
    ],
)
def test_the_best_score_for_the_modality_is_chosen(several, method, modality, expected):
    assert choose(method, modality).name == expected


@pytest.mark.parametrize(("modality", "expected"), [("CT", "other-method"), ("MR", "both"), ("US", "wide")])
def test_auto_takes_the_best_of_all_methods(several, modality, expected):
    assert best_for(modality, ("cascade", "adhoc")).name == expected


def test_auto_leaves_out_what_is_no_method_of_its_own(several):
    assert best_for("CT", ("cascade",)).name == "plain"


def test_a_modality_nobody_is_for_is_refused_with_what_there_is(rows):
    rows(row("a", b"x"))
    with pytest.raises(WeightsError, match=r"'adhoc' has no checkpoint for modality 'CT' \(it has: none\)"):
        choose("adhoc", "CT")
    with pytest.raises(WeightsError, match=r"no checkpoint for modality 'unknown' \(it has: CT\)"):
        best_for("", ("cascade",))
