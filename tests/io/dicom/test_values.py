"""Values of data sets that may hold anything: numbers or nothing, text or nothing, never an exception."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from meddenoise.io.dicom.values import decimal, integer, item, items, number, numbers, text, word

KEYWORDS = {
    "RescaleSlope": (0x00281053, "DS"),
    "InstanceNumber": (0x00200013, "IS"),
    "WindowCenter": (0x00281050, "DS"),
    "Rows": (0x00280010, "US"),
    "FrameTime": (0x00181063, "DS"),
    "PatientName": (0x00100010, "PN"),
    "SeriesDescription": (0x0008103E, "LO"),
    "SharedFunctionalGroupsSequence": (0x52009229, "SQ"),
}


def raw(keyword: str, value: bytes) -> Dataset:
    """A data set with the bytes of one element, not converted yet, as it comes from a file."""
    tag, kind = KEYWORDS[keyword]
    dataset = Dataset()
    element = RawDataElement(Tag(tag), kind, len(value), value, 0, False, True)
    dataset._dict[Tag(tag)] = element  # a file's reader puts it there in the same way
    return dataset


@pytest.mark.filterwarnings("ignore::UserWarning:pydicom")
@settings(max_examples=80, deadline=None)
@given(st.sampled_from(sorted(KEYWORDS)), st.binary(max_size=20))
def test_any_bytes_are_a_value_or_nothing(keyword: str, value: bytes) -> None:
    for read in (numbers, number, integer, text, word, item, items):
        read(raw(keyword, value), keyword)
    found = numbers(raw(keyword, value), keyword)
    assert all(entry == entry and abs(entry) < float("inf") for entry in found)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"1.5", (1.5,)),
        (b"1.5\\-2 ", (1.5, -2.0)),
        (b"", ()),
        (b"nan", ()),
        (b"1\\inf", ()),
        (b"1e400", ()),
        (b"x", ()),
    ],
)
def test_numbers_are_finite_or_not_there(value: bytes, expected: tuple[float, ...]) -> None:
    assert numbers(raw("WindowCenter", value), "WindowCenter") == expected
    first = expected[0] if expected else 7.0
    assert number(raw("WindowCenter", value), "WindowCenter", 7.0) == first
    assert integer(raw("WindowCenter", value), "WindowCenter", 7) == int(first)


def test_what_is_absent_is_empty_and_text_that_was_read_is_still_as_it_was_in_the_file() -> None:
    assert numbers(Dataset(), "Rows") == () and text(Dataset(), "Rows") == "" and items(None, "Rows") == []
    dataset = raw("SeriesDescription", b"T\xff2 axial ")
    assert text(dataset, "SeriesDescription").startswith("T")
    assert dataset.get_item("SeriesDescription").value == b"T\xff2 axial "


@pytest.mark.parametrize(
    ("value", "expected"),
    [("ct", "CT"), ("T1_SE 2", "T1_SE 2"), ("a-b", ""), ("x" * 17, ""), ("Müller", "")],
)
def test_a_code_is_in_capitals_and_what_is_none_is_not_repeated(value: str, expected: str) -> None:
    dataset = Dataset()
    dataset.SeriesDescription = value
    assert word(dataset, "SeriesDescription") == expected


@settings(max_examples=80, deadline=None)
@given(st.floats(-1e300, 1e300))
def test_any_number_fits_a_decimal_string_and_is_read_as_nearly_itself(value: float) -> None:
    written = decimal(value)
    assert len(written) <= 16
    assert float(written) == pytest.approx(value, rel=1e-8, abs=0)
