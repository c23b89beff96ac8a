"""The site builds with warnings as errors and loads nothing from elsewhere; examples in documents work."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch

from meddenoise.methods import Setup

ROOT = Path(__file__).parent.parent
LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}


class Loads(HTMLParser):
    """Collects what a page loads by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        address = values.get(LOADING.get(tag, ""))
        if address is not None and values.get("rel") not in ("canonical", "prev", "next"):
            self.found.append(address)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    target = tmp_path_factory.mktemp("site")
    # not --quiet: it drops the warnings that --strict counts
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


def test_every_page_is_there_and_loads_nothing_from_elsewhere(site: Path) -> None:
    pages = {page.name for page in site.glob("*.html")}
    assert pages >= {f"{page.stem}.html" for page in (ROOT / "docs").glob("*.md")}
    for page in site.rglob("*.html"):
        loads = Loads()
        loads.feed(page.read_text(encoding="utf-8"))
        assert loads.found
        assert not [address for address in loads.found if "//" in address], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_no_program_is_published_as_a_page(site: Path) -> None:
    assert not list(site.rglob("*.py"))


def test_the_method_of_the_contributors_page_is_a_method() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(code[1], names)
    method = names["BOXCAR"]
    noisy = torch.randn(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    denoise = method.load(Setup())
    clean = denoise(noisy, torch.tensor([1.0, 0.0]))
    assert clean.shape == noisy.shape
    assert float(clean[0].std()) < 0.5 * float(noisy[0].std())
    assert torch.equal(clean[1], noisy[1])
    assert not method.uses_weights and method.name == "boxcar" and method.tile is None


def test_commands_of_the_documents_exist() -> None:
    from typer.testing import CliRunner

    from meddenoise.cli.main import app

    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob("*.md"))
    blocks = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    used = set(re.findall(r"^meddenoise ([a-z]+)", blocks, re.MULTILINE))
    assert len(used) > 5
    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert {name for name in used if not re.search(rf"\b{name}\b", shown)} == set()
