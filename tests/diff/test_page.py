"""The examples of docs/diff.md are what the command prints. `--accept-cases` writes them again."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from pinfeather.cli import main
from tests.explain.test_explain import FILLED, SEED

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "diff.md"
EXAMPLE = re.compile(r"```console\n\$ pinfeather (.*)\n((?s:.*?))```")
SHOP = (ROOT / "stacks" / "dev" / "shop.yaml").read_text("utf-8")


def _files(folder: Path) -> None:
    seed = Path(SEED).read_text("utf-8")
    texts = {
        "list.yaml": seed,
        "exact.yaml": seed.replace("`.*canary=v2.*`", r"`(^|;\s*)canary=v2(\s*;|$)`"),
        "shop.yaml": SHOP,
        "more.yaml": SHOP.replace("weight: 90", "weight: 70").replace("weight: 10", "weight: 30"),
        "renamed.yaml": SHOP.replace("srv_v1", "server_v1"),
    }
    assert len(set(texts.values())) == len(texts)
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")


def test_the_page_shows_what_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, accept_cases: bool
) -> None:
    page = PAGE.read_text("utf-8")
    _files(tmp_path)
    monkeypatch.chdir(tmp_path)

    def printed(found: re.Match[str]) -> str:
        words = shlex.split(found[1])
        assert main([*words, *(FILLED if "list.yaml" in words else [])]) == 1
        return f"```console\n$ pinfeather {found[1]}\n{capsys.readouterr().out}```"

    written = EXAMPLE.sub(printed, page)
    if accept_cases:
        PAGE.write_text(written, "utf-8")
    assert written == PAGE.read_text("utf-8")
    assert len(EXAMPLE.findall(page)) == page.count("$ pinfeather") == 3
