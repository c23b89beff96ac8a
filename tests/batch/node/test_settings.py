"""The TOML file of a node: every mistake ends in one sentence that names the file and what to do."""

import subprocess
import sys
from pathlib import Path

import pytest

from meddenoise.batch.node.rules import Rule, Subject, choose_rule
from meddenoise.batch.node.settings import read_settings
from meddenoise.errors import UsageError, WeightsError
from meddenoise.pipeline.options import Options
from tests.commands import run

NODE = '[node]\nallow = ["CT1"]\nspool = "spool"\n'
SEND = '[[send]]\nname = "pacs"\nhost = "127.0.0.1"\nae_title = "PACS"\n'


def settings_of(tmp_path: Path, text: str):
    path = tmp_path / "node.toml"
    path.write_text(text)
    return read_settings(path)


def test_all_keys_are_read_and_paths_are_relative_to_the_file(tmp_path):
    (tmp_path / "token.txt").write_text("secret")
    settings = settings_of(
        tmp_path,
        "quiet_s = 5\nhealth_port = 8080\nsend_rejected = true\n"
        + NODE
        + 'port = 104\nae_title = "NODE"\nmax_associations = 3\n'
        + SEND
        + '[[send]]\nname = "web"\nurl = "https://pacs/dicom-web"\ntoken_file = "token.txt"\n'
        '[[rule]]\nmodality = "CT"\ndescription = "thorax|lung"\nmethod = "nlm"\nstrength = 0.8\nsigma = 12\n'
        "[[rule]]\nskip = true\n",
    )
    assert settings.node is not None
    assert settings.node.spool == str(tmp_path / "spool")
    assert (settings.node.port, settings.node.ae_title, settings.node.max_associations) == (104, "NODE", 3)
    assert (settings.quiet_s, settings.health_port, settings.send_rejected) == (5, 8080, True)
    assert [one.name for one in settings.send] == ["pacs", "web"]
    assert settings.send[1].token_file == str(tmp_path / "token.txt")
    options = Options(method="nlm", strength=0.8, sigma=12)
    assert settings.rules == (Rule("CT", "thorax|lung", options=options), Rule(skip=True))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("quiet_s = [", "is not TOML"),
        ("quite_s = 3", "did you mean 'quiet_s'"),
        ("quiet_s = 'long'", "give a number"),
        ("quiet_s = -1", "give 0 to"),
        ("node = 3", "write it as a table"),
        ('[node]\nspool = "x"', "does not state allow"),
        ('[node]\nallow = []\nspool = "x"', "name the AE titles"),
        ('[node]\nallow = "CT1"\nspool = "x"', "give a list"),
        ('[node]\nallow = ["A\\\\B"]\nspool = "x"', "backslash"),
        ('[node]\nallow = ["12345678901234567"]\nspool = "x"', "1 to 16"),
        (NODE + "port = 70000", "give 1 to 65535"),
        (NODE + "timeout_s = 0", "give 1 to 3600"),
        (NODE + "port = true", "give a whole number"),
        (NODE + "max_pdu = 1", "give 4096 to"),
        ("[send]\nname = 'x'", "[[send]]"),
        ("[[send]]\nname = 'x'", "give one of them"),
        ("[[send]]\nname = '../x'\nhost = 'h'\nae_title = 'A'", "names a folder"),
        ("[[send]]\nurl = 'ftp://x'", "give http://"),
        ("[[send]]\nurl = 'http:///dicom-web'", "give http://"),
        ("[[send]]\nurl = 'http://pacs:80a/'", "give http://"),
        ("[[send]]\nurl = 'http://pacs:80000/'", "give http://"),
        ("[[send]]\nurl = 'http://pacs/a b'", "give http://"),
        ("[[send]]\nurl = 'https://user:word@pacs/'", "leave out names, passwords"),
        (SEND + SEND, "of the same name"),
        ("[[rule]]\nmetod = 'nlm'", "did you mean 'method'"),
        ("[[rule]]\nmethod = 'nln'", "did you mean 'nlm'"),
        ("[[rule]]\nmodality = 3", "give a text in quotes"),
        ("[[rule]]\nstrength = 5", "--strength is 5"),
        ("[[rule]]\nsteps = 1.5", "give a whole number"),
        ("[[rule]]\nfusion = 1", "give true or false"),
        ("[[rule]]\ndescription = '('", "not a regular expression"),
        ("[[rule]]\nmethod = 'direct'\nweights = 'nothing'", "nothing"),
        ("[[rule]]\nnoise_profile = 'none.toml'", "none.toml"),
    ],
)
def test_mistakes_end_in_one_sentence(tmp_path, text, sentence):
    with pytest.raises((UsageError, WeightsError)) as caught:
        settings_of(tmp_path, text)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "user:word" not in str(caught.value)


def test_the_mark_that_windows_editors_begin_a_file_with_is_no_mistake(tmp_path):
    assert settings_of(tmp_path, "\ufeffquiet_s = 5\n").quiet_s == 5


def test_a_modality_in_small_letters_is_that_modality(tmp_path):
    (rule,) = settings_of(tmp_path, '[[rule]]\nmodality = "ct"\n').rules
    assert rule.fits(Subject("CT"))


def test_the_first_rule_that_fits_is_taken():
    skip, lung, other = Rule(description="scout", skip=True), Rule("CT", "Lung"), Rule(station="MR2")
    rules = (skip, lung, other)
    assert choose_rule(rules, Subject("CT", "lung 5 mm", "CT1")) is lung
    assert choose_rule(rules, Subject("CT", "Scout lung", "MR2")) is None
    assert choose_rule(rules, Subject("MR", "lung", "MR2")) is other
    assert choose_rule(rules, Subject("MR", "lung", "MR1")) is None
    assert choose_rule((), Subject("MR")) == Rule()
    assert choose_rule((), Subject("MR", result=True)) is None


def test_usage_is_checked_before_anything_starts(tmp_path):
    assert "no rules are given" in run("serve", code=2).output
    assert "belong together" in run("serve", "--watch", tmp_path, code=2).output
    path = tmp_path / "node.toml"
    path.write_text(NODE)
    assert "has no [[send]]" in run("serve", path, code=2).output
    path.write_text(SEND)
    assert "has no table [node]" in run("serve", path, code=2).output
    assert "cannot be read" in run("serve", tmp_path / "none.toml", code=2).output
    assert "one inside the other" in run("serve", "--watch", tmp_path, "-o", tmp_path / "out", code=2).output
    assert "is not a folder" in run("serve", "--watch", path, "-o", tmp_path.parent / "out", code=2).output
    assert not (tmp_path / "spool").exists()


@pytest.mark.parametrize("name", ["pynetdicom", "watchdog"])
def test_a_missing_extra_is_named(name, tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(NODE + SEND)
    arguments = [str(path)] if name == "pynetdicom" else ["--watch", str(tmp_path), "-o", "/tmp/none"]
    code = (
        f"import sys; sys.modules[{name!r}] = None; sys.argv = ['meddenoise', 'serve', *{arguments!r}]\n"
        "from meddenoise.cli.main import run; run()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "pip install 'meddenoise[node]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
