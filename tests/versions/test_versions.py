"""Every minor of Traefik is asked what it takes; the support tables by version say the same.

`found.json` keeps what was found, `docs/versions.md` shows it. `--accept-cases` writes both again. There is no 3.1 to be had:
what is said of it stands between 3.0 and 3.2.
"""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import pytest

from pinfeather._convert import write
from pinfeather.translators import traefik_file
from pinfeather.translators._traefik.options import Version
from tests.parts.docker import DockerApi
from tests.parts.fixtures import TRAEFIKS, StartTraefik
from tests.versions import found, page
from tests.versions.asking import NEWEST, Found, Thought, asked, find
from tests.versions.asks import ASKS
from tests.versions.keys import KEYS, label_of, labels

RAN: tuple[Version, ...] = tuple(version for version in get_args(Version) if version in (*TRAEFIKS, NEWEST))
FROM_SOURCE: tuple[Version, ...] = ("3.1",)
_seen: dict[Version, Found] = {}


def asking(version: Version, traefik: StartTraefik, docker: DockerApi) -> Found:
    """What the version says; asked once a run."""
    if version not in _seen:
        kept = found.read()
        said = kept["asks"].get(version, {})
        refused = frozenset(name for name, verdict in said.items() if verdict.startswith("refuses"))
        unknown = frozenset(label_of(key) for key in kept["keys"].get(version, {}) if key in KEYS)
        _seen[version] = find(version, traefik, docker, labels(), Thought(refused, unknown))
    return _seen[version]


def test_all_but_one_are_run() -> None:
    assert set(RAN) | set(FROM_SOURCE) | {"2.10"} == set(get_args(Version))  # 2.10 is taken for 2.11


def test_the_newest_takes_all_and_answers_as_meant(traefik: StartTraefik, docker: DockerApi) -> None:
    newest = asking(NEWEST, traefik, docker)
    assert not newest.refused
    for name, shown in newest.shown.items():
        if name != "external-reference":  # nobody else is there
            assert not shown.wrong, name
            assert [answer.partition(";")[0] == "hit" for answer in shown.answers] == [call.hit for call in ASKS[name].calls], name


@pytest.mark.parametrize("version", RAN)
def test_what_a_version_takes_is_what_was_found(version: Version, traefik: StartTraefik, docker: DockerApi, accept_cases: bool) -> None:
    newest, told = asking(NEWEST, traefik, docker), asking(version, traefik, docker)
    kept = found.read()
    said = {"asks": found.column(version, told, newest), "keys": found.keys(told)}
    if accept_cases:
        for kind, column in said.items():
            kept[kind][version] = column
        found.write(kept)
    assert said == {kind: kept[kind].get(version) for kind in said}


@pytest.mark.parametrize("version", RAN)
def test_what_is_written_for_a_version_is_loaded_by_it(version: Version, traefik: StartTraefik, docker: DockerApi) -> None:
    told = asking(version, traefik, docker)
    assert not told.written_refused
    assert not {name: shown.wrong for name, shown in told.written.items() if shown.wrong}


def losses(version: Version) -> set[str]:
    """The asks of which `traefik-file` says that the version cannot say all."""
    writer, options = traefik_file.TRANSLATOR, traefik_file.TraefikFile(traefik=version)
    lost: set[str] = set()
    for name in asked(NEWEST):
        codes = {str(finding.code) for finding in write(ASKS[name].document, writer, options).report.diagnostics}
        assert not any(code.startswith("bug.") for code in codes), (name, codes)
        if any(code.startswith(("loss.", "carried.")) for code in codes):
            lost.add(name)
    return lost


@pytest.mark.parametrize("version", RAN)
def test_the_table_says_what_was_found(version: Version) -> None:
    """No silent loss, and none that is invented."""
    assert losses(version) == set(found.read()["asks"][version])


@pytest.mark.parametrize("version", FROM_SOURCE)
def test_what_was_not_run_is_between_its_neighbours(version: Version) -> None:
    order = get_args(Version)
    older, newer = (order[order.index(version) + step] for step in (-1, 1))
    columns = found.read()["asks"]
    assert set(columns[newer]) <= losses(version) <= set(columns[older])


def test_no_version_forgets() -> None:
    """What one takes, every later one takes too."""
    for kind in found.read().values():
        for older, newer in pairwise(RAN):
            assert set(kind[newer]) <= set(kind[older])


def test_the_keys_are_as_old_as_the_table_says() -> None:
    unknown = found.read()["keys"]
    assert not unknown[NEWEST], "not even the newest knows these"
    for key, (_, since) in KEYS.items():
        for version in RAN:
            major, minor = map(int, version.split("."))
            assert (key in unknown[version]) == ((major, minor) < since), (key, version, since)


def test_the_page_is_what_was_found(accept_cases: bool) -> None:
    text = page.text(found.read(), RAN, FROM_SOURCE, {version: losses(version) for version in FROM_SOURCE})
    if accept_cases:
        page.PAGE.write_text(text, "utf-8")
    assert page.PAGE.read_text("utf-8") == text, "docs/versions.md is not what was found: run with --accept-cases, and read the difference"
