"""A checkpoint comes back as it was saved, and nothing else is ever loaded."""

import io
import json
import math
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save
from torch import nn

from meddenoise.errors import OutputError, WeightsError
from meddenoise.weights.checkpoint import (
    CheckpointMetadata,
    load_checkpoint,
    load_state,
    read_metadata,
    save_checkpoint,
)
from meddenoise.weights.sealed import BLANK_DIGEST, FORMAT_VERSION, MAX_HEADER_BYTES, MAX_TENSORS, seal

METADATA = CheckpointMetadata(
    method="cascade",
    network="noise-unet",
    network_options={"channels": [8, 16], "blocks": 1},
    normalisation={"name": "none"},
    sigma_range=(0.0, 75.0),
    modalities=("CT", "MR"),
    training_data=("Phantoms, generated", 'A "quoted" étude \n in two lines'),
    licence="Apache-2.0",
    recipe="tiny",
    schedule={"name": "linear", "steps": 1000, "prediction": "eps"},
)


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        "head.weight": torch.randn(4, 1, 3, 3, generator=generator),
        "head.bias": torch.randn(4, generator=generator).to(torch.bfloat16),
        "half": torch.randn(5, generator=generator).to(torch.float16),
        "steps": torch.arange(7),
        "scalar": torch.tensor(1.5, dtype=torch.float64),
        "flags": torch.tensor([True, False]),
        "empty": torch.zeros(0, 3),
    }


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, tensors(), METADATA)
    return path


def refusal(path, sha256=None):
    """The sentence a file is refused with; it names the file and is one line."""
    with pytest.raises(WeightsError) as caught:
        load_checkpoint(path, sha256=sha256)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message and message.endswith(".")
    return message


def write_raw(path, header, data=b""):
    """A safetensors file from a header given as an object or as bytes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def sealed_with(changes, path):
    """A file sealed rightly around metadata in which `changes` were made (None removes a field)."""
    from dataclasses import asdict

    content = {**asdict(METADATA), "format_version": FORMAT_VERSION, "digest": BLANK_DIGEST, **changes}
    content = {name: value for name, value in content.items() if value is not Ellipsis}
    path.write_bytes(seal(save({"w": torch.ones(2)}, {"meddenoise": json.dumps(content)})))
    return path


def test_tensors_and_metadata_come_back_as_saved(file):
    loaded = load_checkpoint(file, sha256=None)
    assert loaded.metadata == METADATA
    assert loaded.path == file
    expected = tensors()
    assert loaded.tensors.keys() == expected.keys()
    for name, tensor in expected.items():
        assert loaded.tensors[name].dtype == tensor.dtype
        assert torch.equal(loaded.tensors[name], tensor)


def test_the_hash_is_the_one_of_the_whole_file_and_is_accepted_back(file):
    import hashlib

    loaded = load_checkpoint(file, sha256=None)
    assert loaded.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert load_checkpoint(file, sha256=loaded.sha256).sha256 == loaded.sha256


def test_the_same_content_gives_the_same_bytes_whatever_the_order(file, tmp_path):
    again = tmp_path / "again.safetensors"
    options = dict(reversed(METADATA.network_options.items()))
    save_checkpoint(again, dict(reversed(tensors().items())), replace(METADATA, network_options=options))
    assert again.read_bytes() == file.read_bytes()


def test_tied_and_strided_tensors_are_saved_by_value(tmp_path):
    shared = torch.randn(3, 4)
    path = tmp_path / "tied.safetensors"
    save_checkpoint(path, {"a": shared, "b": shared, "c": shared.T, "d": shared[:, 1]}, METADATA)
    loaded = load_checkpoint(path, sha256=None).tensors
    assert torch.equal(loaded["a"], shared) and torch.equal(loaded["b"], shared)
    assert torch.equal(loaded["c"], shared.T) and torch.equal(loaded["d"], shared[:, 1])


def test_other_programs_can_read_the_file_as_safetensors(file):
    from safetensors import safe_open

    with safe_open(file, framework="pt") as reader:
        assert set(reader.keys()) == tensors().keys()
        assert json.loads(reader.metadata()["meddenoise"])["network"] == "noise-unet"


def test_a_save_over_an_old_file_leaves_one_file_and_no_rest(file):
    save_checkpoint(file, {"w": torch.ones(1)}, METADATA)
    assert list(load_checkpoint(file, sha256=None).tensors) == ["w"]
    assert list(file.parent.iterdir()) == [file]


def test_a_save_that_fails_leaves_the_old_file_alone(file):
    before = file.read_bytes()
    with pytest.raises(WeightsError, match="'w' holds NaN or infinity"):
        save_checkpoint(file, {"w": torch.tensor([1.0, math.nan])}, METADATA)
    with pytest.raises(OutputError, match="cannot be written"):
        save_checkpoint(file / "below-a-file.safetensors", {"w": torch.ones(1)}, METADATA)
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sigma_range": (2.0, 1.0)}, "(sigma_range)"),
        ({"method_options": {"validation": math.nan}}, "as JSON"),
        ({"network_options": {"channels": torch.ones(1)}}, "as JSON"),
        ({"licence": None}, "(licence)"),
    ],
)
def test_metadata_that_could_not_be_read_back_are_not_written(tmp_path, changes, said):
    path = tmp_path / "net.safetensors"
    with pytest.raises(WeightsError) as caught:
        save_checkpoint(path, {"w": torch.ones(1)}, replace(METADATA, **changes))
    assert said in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_metadata_is_read_and_checked_without_torch(file):
    code = (
        "import sys; from pathlib import Path; from meddenoise.weights.checkpoint import read_metadata;"
        "print(read_metadata(Path(sys.argv[1]), sha256=None)[0].method); assert 'torch' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code, file], capture_output=True, text=True, check=True)
    assert run.stdout == "cascade\n"


# --- a flipped bit ---


def small_file(path):
    save_checkpoint(path, {"w": torch.linspace(-1, 1, 6), "b": torch.ones(2, dtype=torch.int16)}, METADATA)
    return path.read_bytes()


def test_every_flipped_bit_of_every_byte_is_refused(tmp_path):
    path = tmp_path / "bits.safetensors"
    sound = small_file(path)
    file = os.open(path, os.O_WRONLY)
    for position, byte in enumerate(sound):
        for bit in range(8):
            os.pwrite(file, bytes([byte ^ 1 << bit]), position)
            with pytest.raises(WeightsError):
                read_metadata(path, sha256=None)
        os.pwrite(file, bytes([byte]), position)
    os.close(file)
    assert read_metadata(path, sha256=None)[0] == METADATA


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_damage_to_a_larger_file_is_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damage") / "net.safetensors"
    save_checkpoint(path, tensors() | {"big": torch.ones(64, 64)}, METADATA)
    sound = path.read_bytes()
    start = data.draw(st.integers(0, len(sound) - 1))
    piece = data.draw(st.binary(min_size=0, max_size=40))
    stop = data.draw(st.integers(start, len(sound)))
    damaged = sound[:start] + piece + sound[stop:]
    if damaged != sound:
        path.write_bytes(damaged)
        with pytest.raises(WeightsError):
            load_checkpoint(path, sha256=None)


def test_a_swapped_digest_is_refused(file):
    raw = file.read_bytes()
    digest = json.loads(
        json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["meddenoise"]
    )["digest"].encode()
    for other in (BLANK_DIGEST.encode(), digest.upper(), digest[::-1]):
        assert other != digest
        file.write_bytes(raw.replace(digest, other))
        assert "digest" in refusal(file)


# --- what is refused, and how it is said ---


@pytest.mark.parametrize("protocol", range(2, 6))
def test_a_pickle_named_safetensors_is_refused_and_not_run(tmp_path, protocol):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    path = tmp_path / "evil.safetensors"
    path.write_bytes(pickle.dumps(Bomb(), protocol=protocol))
    assert "pickle" in refusal(path)
    assert not (tmp_path / "ran").exists()


def test_a_torch_save_archive_is_refused_under_any_name(tmp_path):
    buffer = io.BytesIO()
    torch.save({"w": torch.ones(2)}, buffer)
    assert zipfile.is_zipfile(buffer)
    for name in ("net.safetensors", "net", "net.pt", "net.PTH", "net.ckpt", "net.pkl", "net.bin"):
        path = tmp_path / name
        path.write_bytes(buffer.getvalue())
        assert "can run code" in refusal(path)


def test_an_old_torch_save_stream_is_refused(tmp_path):
    path = tmp_path / "old.safetensors"
    torch.save({"w": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    assert "pickle" in refusal(path)


def test_a_header_length_that_looks_like_a_pickle_is_still_read(tmp_path):
    """A header of 0x0280 bytes begins with the two bytes of pickle protocol 2."""
    path = tmp_path / "net.safetensors"
    for padding in range(0, 4096, 8):
        save_checkpoint(path, {"w": torch.ones(2)}, replace(METADATA, recipe="r" * padding))
        if path.read_bytes()[0] == 0x80:
            assert load_checkpoint(path, sha256=None).metadata.recipe == "r" * padding
            return
    pytest.fail("no padding gave the length sought")


def test_a_file_cut_anywhere_is_refused(file):
    sound = file.read_bytes()
    for size in (0, 1, 7, 8, 9, 100, len(sound) // 2, len(sound) - 1):
        file.write_bytes(sound[:size])
        assert "cut short" in refusal(file)


def test_bytes_after_the_weights_are_refused(file):
    file.write_bytes(file.read_bytes() + b"\0")
    assert "1 bytes follow the weights" in refusal(file)


def test_a_declared_header_of_100_megabytes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.safetensors"
    path.write_bytes(struct.pack("<Q", 100_000_000) + b"{")
    os.truncate(path, 100_000_100)
    assert f"more than the {MAX_HEADER_BYTES}" in refusal(path)


def test_a_hundred_thousand_entries_are_refused(tmp_path):
    entry = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    text = "{" + ",".join(f'"{i}":{entry}' for i in range(60_000)) + "}"
    assert len(text) < MAX_HEADER_BYTES
    assert f"more than the {MAX_TENSORS}" in refusal(write_raw(tmp_path / "many.safetensors", text.encode()))
    larger = "{" + ",".join(f'"{i}":{entry}' for i in range(100_000)) + "}"
    assert "more than" in refusal(write_raw(tmp_path / "more.safetensors", larger.encode()))


META = {"__metadata__": {"meddenoise": json.dumps({"format_version": 1})}}


@pytest.mark.parametrize(
    ("header", "data", "said"),
    [
        ({"w": {"dtype": "F9", "shape": [1], "data_offsets": [0, 4]}}, b"1234", "unknown dtype 'F9'"),
        ({"w": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}}, b"1234", "unknown dtype"),
        ({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234", "contradict"),
        ({"w": {"dtype": "F32", "shape": [-1], "data_offsets": [0, -4]}}, b"", "contradict"),
        ({"w": {"dtype": "F32", "shape": [True], "data_offsets": [0, 4]}}, b"1234", "contradict"),
        ({"w": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, b"12345678", "gaps"),
        ({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0]}}, b"1234", "the entry of 'w'"),
        ({"w": 3}, b"", "the entry of 'w'"),
        ({"w": {"dtype": "F32", "shape": 1, "data_offsets": [0, 4]}}, b"1234", "the entry of 'w'"),
    ],
)
def test_a_header_that_contradicts_itself_is_refused(tmp_path, header, data, said):
    assert said in refusal(write_raw(tmp_path / "net.safetensors", META | header, data))


@pytest.mark.parametrize(
    "text",
    [
        b"{",
        b"{nonsense}",
        b'{"a":1,"a":2}',
        b"{" + b'"a":[' * 5000,
        b'{"\xff":1}',
    ],
)
def test_a_header_that_is_no_json_is_refused(tmp_path, text):
    assert "damaged header" in refusal(write_raw(tmp_path / "net.safetensors", text))


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"meddenoise": "{"},
        {"meddenoise": "[1]"},
        {"meddenoise": "{}"},
        {"meddenoise": 3},
        [1],
        "text",
    ],
)
def test_a_safetensors_file_of_another_program_is_refused(tmp_path, metadata):
    header = {} if metadata is None else {"__metadata__": metadata}
    assert "no meddenoise metadata" in refusal(write_raw(tmp_path / "net.safetensors", header))


def test_a_newer_format_is_refused_and_an_update_named(tmp_path):
    path = sealed_with({"format_version": FORMAT_VERSION + 1}, tmp_path / "new.safetensors")
    assert "update meddenoise" in refusal(path)


@pytest.mark.parametrize("version", ["1", 0, None])
def test_a_format_version_that_is_no_number_is_refused(tmp_path, version):
    assert "format version" in refusal(sealed_with({"format_version": version}, tmp_path / "new.safetensors"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"network": ...}, "(network)"),
        ({"colour": "red"}, "(colour)"),
        ({"network_options": [1]}, "(network_options)"),
        ({"sigma_range": [1]}, "(sigma_range)"),
        ({"sigma_range": [2, 1]}, "(sigma_range)"),
        ({"sigma_range": ["a", "b"]}, "(sigma_range)"),
        ({"modalities": ["CT", 3]}, "(modalities)"),
        ({"schedule": "linear"}, "(schedule)"),
        ({"digest": ...}, "no digest"),
    ],
)
def test_sealed_metadata_of_the_wrong_kind_is_refused(tmp_path, changes, said):
    assert said in refusal(sealed_with(changes, tmp_path / "net.safetensors"))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_weights_that_are_no_numbers_are_refused(tmp_path, bad, dtype):
    from dataclasses import asdict

    path = tmp_path / "nan.safetensors"
    content = {**asdict(METADATA), "format_version": FORMAT_VERSION, "digest": BLANK_DIGEST}
    weights = torch.tensor([1.0, bad], dtype=dtype)
    path.write_bytes(seal(save({"layer.weight": weights}, {"meddenoise": json.dumps(content)})))
    assert "'layer.weight' holds NaN or infinity" in refusal(path)


def test_a_wrong_hash_is_refused_even_for_a_sound_file(file):
    assert "is not the published file" in refusal(file, sha256="0" * 64)


def test_what_is_no_file_is_refused_without_hanging(tmp_path):
    assert "does not exist" in refusal(tmp_path / "none.safetensors")
    assert "is not a file" in refusal(tmp_path)
    assert "is not a file" in refusal(Path("/dev/zero"))
    fifo = tmp_path / "fifo.safetensors"
    os.mkfifo(fifo)
    assert "is not a file" in refusal(fifo)
    text = tmp_path / "text.safetensors"
    text.write_text("just some text, long enough")
    assert "not a safetensors file" in refusal(text)


# --- into a network ---


def saved_network(path, **options):
    network = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    save_checkpoint(path, network.state_dict(), METADATA)
    return network


def test_tensors_go_into_the_network_they_came_from(tmp_path):
    trained = saved_network(tmp_path / "net.safetensors")
    fresh = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    load_state(fresh, load_checkpoint(tmp_path / "net.safetensors", sha256=None))
    x = torch.randn(5, 3)
    assert torch.equal(fresh(x), trained(x))


def test_one_of_two_networks_is_loaded_by_its_prefix(tmp_path):
    path = tmp_path / "two.safetensors"
    teacher, student = nn.Linear(3, 2), nn.Linear(2, 2)
    both = {f"{kind}.{name}": tensor for kind, net in (("teacher", teacher), ("student", student))
            for name, tensor in net.state_dict().items()}  # fmt: skip
    save_checkpoint(path, both, METADATA)
    fresh = nn.Linear(2, 2)
    load_state(fresh, load_checkpoint(path, sha256=None), prefix="student.")
    assert torch.equal(fresh.weight, student.weight)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 3)), "'1.bias' is [2] in the file, [3] in the network"),
        (nn.Sequential(nn.Linear(3, 4)), "'1.bias' is [2] in the file, absent in the network"),
        (
            nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(2, 2)),
            "'2.bias' is absent in the file, [2] in the network",
        ),
    ],
)
def test_a_network_of_another_shape_names_the_first_mismatch(tmp_path, network, said):
    saved_network(tmp_path / "net.safetensors")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(WeightsError) as caught:
        load_state(network, load_checkpoint(tmp_path / "net.safetensors", sha256=None))
    assert said in str(caught.value)
    assert "noise-unet" in str(caught.value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
