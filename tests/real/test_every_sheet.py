"""No sheet is left out in silence: each proxy is asked its rows, or the sheet shows what the proxy's format loses."""

from __future__ import annotations

import pytest

from pinfeather.testing.sheets import Sheet
from tests.real import test_sheets, test_sheets_elsewhere
from tests.voyager import test_voyager_sheets

ASKED = {
    **{("traefik-file" if each.proxy == "traefik" else "pinfeather", each.sheet.name): True for each in test_sheets.rows()},
    **{(each.surface, each.sheet.name): True for each in test_sheets_elsewhere.rows()},
    **{("voyager", case.name): True for case in test_voyager_sheets.CASES},
}
SHEETS = [sheet for sheet in test_sheets.SHEETS if sheet.document is not None]


@pytest.mark.parametrize("name", ["traefik-file", "pinfeather", "docker-labels", "ingressroute", "ingress", "voyager"])
@pytest.mark.parametrize("sheet", SHEETS, ids=lambda sheet: sheet.name)
def test_a_sheet_is_asked_or_says_what_is_lost(sheet: Sheet, name: str) -> None:
    if (name, sheet.name) in ASKED or not sheet.rows:
        return  # the one without rows is about TCP, which tests/verify asks
    said = [entry for section in sheet.formats if section.name == name and section.losses for entry in section.losses.entries]
    assert any("`loss." in entry for entry in said), f"{name} is asked nothing of it, and no loss says why"


def test_only_this_one_has_no_rows() -> None:
    assert [sheet.name for sheet in SHEETS if not sheet.rows] == ["12-tcp-by-sni"]


def test_every_sheet_with_a_document_is_asked_of_the_reference_proxy_and_of_traefik() -> None:
    with_rows = {sheet.name for sheet in SHEETS if sheet.rows}
    for name in ("traefik-file", "pinfeather"):
        assert with_rows == {sheet for format, sheet in ASKED if format == name}
    assert len(with_rows) > 20
