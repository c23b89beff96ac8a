"""The programs that stand for machines are the ones meant."""

from pathlib import Path

import pytest

from tests.batch.node.machines import storescu


def test_dcmtk_is_found_behind_another_program_of_the_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, told in (("other", "usage: storescu"), ("dcmtk", "$dcmtk: storescu v3 $")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "storescu").write_text(f"#!/bin/sh\necho '{told}'\n")
        (tmp_path / name / "storescu").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'other'}:{tmp_path / 'dcmtk'}:/bin")
    assert storescu.__wrapped__() == str(tmp_path / "dcmtk" / "storescu")
