"""The examples of docs/explain.md are what the command prints."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pinfeather.cli import main
from tests.explain.test_explain import FILLED, SEED

PAGE = (Path(__file__).parents[2] / "docs" / "explain.md").read_text("utf-8")
EXAMPLES = re.findall(r"```console\n\$ pinfeather (.*)\n((?s:.*?))```", PAGE)


@pytest.mark.parametrize(("command", "shown"), EXAMPLES)
def test_the_page_shows_what_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str, shown: str
) -> None:
    monkeypatch.chdir(Path(SEED).parent)
    assert main([*shlex.split(command), *FILLED]) == 0
    assert capsys.readouterr().out == shown
