"""The examples of docs/explain.md are what the command prints."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from pinfeather.cli import main
from pinfeather.testing import sheets
from tests.explain.test_explain import FILLED, SEED

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "explain.md").read_text("utf-8")
EXAMPLES = re.findall(r"```console\n\$ pinfeather (.*)\n((?s:.*?))```", PAGE)


@pytest.mark.parametrize(("command", "shown"), EXAMPLES)
def test_the_page_shows_what_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, shown: str
) -> None:
    shutil.copy(SEED, tmp_path)
    (sheet,) = (each for each in sheets.load(ROOT / "tests" / "cases") if each.name == "12-tcp-by-sni")
    assert sheet.document is not None
    (tmp_path / "databases.yaml").write_text(sheet.document.text)
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)
    assert main([*words, *(FILLED if "list.yaml" in words else [])]) == 0
    assert capsys.readouterr().out == shown


def test_there_are_examples_of_what_the_seed_promises() -> None:
    assert len(EXAMPLES) == PAGE.count("$ pinfeather") == 6
