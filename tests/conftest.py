"""Fixtures for every test: the real parts. A part that is missing is skipped with a reason, or fails if it is required."""

from __future__ import annotations

import importlib
import os
import pkgutil
from pathlib import Path

import pytest
from hypothesis import settings

import bench
import pinfeather
import tools
from tests.parts.fixtures import docker as docker
from tests.parts.fixtures import haproxy as haproxy
from tests.parts.fixtures import helm_template as helm_template
from tests.parts.fixtures import kubernetes as kubernetes
from tests.parts.fixtures import kubernetes_server as kubernetes_server
from tests.parts.fixtures import servers as servers
from tests.parts.fixtures import start_traefik as start_traefik
from tests.parts.fixtures import traefik as traefik
from tests.parts.kubernetes_plugin import plugin_folder

_TRAEFIK, _REFERENCE, _HAPROXY, _CLUSTER = "Traefik", "the reference proxy", "HAProxy", "an API server of Kubernetes with etcd"
_PLUGIN = f"the Kubernetes plugin ({'the stand-in' if plugin_folder(os.environ) else 'the real one'})"
BY_FIXTURE = {
    "traefik": _TRAEFIK,
    "start_traefik": _TRAEFIK,
    "start_reference": _REFERENCE,
    "haproxy": _HAPROXY,
    "kubernetes": _CLUSTER,
    "kubernetes_server": _CLUSTER,
    "docker": "a stand-in of Docker's API",
    "helm_template": "Helm",
    "network_namespace": "a network namespace",
}
"""Real parts (and the one stand-in) by the fixture that starts them."""
BY_MODULE = {
    "deploy/test_engine": ("the Pulumi engine",),
    "deploy/test_dev_stack": ("the Pulumi engine", _TRAEFIK, _REFERENCE),
    "deploy/test_cluster_stack": ("the Pulumi engine", _TRAEFIK, _PLUGIN),
    "importing/test_up": ("the Pulumi engine", _PLUGIN),
    "deploy/test_cluster_faults": ("the Pulumi engine", _PLUGIN),
    "parts/test_kubernetes_plugin": ("the Pulumi engine", _PLUGIN),
    "kills/test_kills": ("the Pulumi engine", _TRAEFIK, _PLUGIN),
    "deploy/test_provider": ("our provider plugin over gRPC",),
    "rollout/test_rollout": (_REFERENCE,),
    "rollout/test_cut_off": (_REFERENCE,),
    "deploy/test_hosted": ("the Pulumi engine",),
    "deploy/test_traffic": ("the Pulumi engine",),
    "raw/test_raw": (_TRAEFIK, _HAPROXY, _REFERENCE),
    "tests/test_example": ("a wheel in a venv of its own",),
    "verify/test_sheets": (_TRAEFIK, _HAPROXY, _REFERENCE),
    "verify/test_page": (_TRAEFIK, _REFERENCE),
    "verify/test_effects": (_TRAEFIK, _REFERENCE),
    "verify/test_outage": (_TRAEFIK, _REFERENCE),
    "parts/test_traefik_versions": ("Traefik of every minor",),
    "versions/test_versions": ("Traefik of every minor",),
    "versions/test_versions_crd": ("Traefik of every minor",),
}
"""The same of modules that start them by themselves."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--examples", type=int, metavar="N", help="random examples that are others in each run; so many, where a test says so")


def pytest_configure(config: pytest.Config) -> None:
    """The same examples in each run: what lands does not hang on luck. Who looks for more says `--examples`."""
    the_same = config.getoption("--examples") is None
    settings.register_profile("the same", derandomize=the_same)
    settings.load_profile("the same")
    if the_same:
        _load_all()


def _load_all() -> None:
    """Hypothesis takes constants from all modules that are loaded: which are must not hang on the tests that ran before in one process."""
    for package in (pinfeather, tools, bench):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)


@pytest.hookimpl(optionalhook=True)  # of pytest-xdist, which need not be there
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are processors, for much of the time is waiting for real programs; four at most, each with an API server."""
    return min(4, (os.cpu_count() or 1) + 1)


_LONG = ("deploy", "parts", "kills", "verify", "importing", "versions", "rollout", "test_example.py", "test_laws.py")
"""Folders and files that take minutes. They begin first, so that no worker is left alone with one at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: at for at, name in enumerate(_LONG)}
    here = Path(__file__).parent
    items.sort(key=lambda item: places.get(item.path.relative_to(here).parts[0], len(places)) if here in item.path.parents else 0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Notes what a test needs, where the summary finds it."""
    fixtures = {BY_FIXTURE[name] for name in getattr(item, "fixturenames", ()) if name in BY_FIXTURE}
    parts = fixtures.union(BY_MODULE.get(f"{item.path.parent.name}/{item.path.stem}", ()))
    item.user_properties += [(_PART, part) for part in sorted(parts)]


_PART = "real part"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which real parts ran, and which did not."""
    ran: dict[str, int] = {}
    left: dict[str, int] = {}
    for outcome, counts in (("passed", ran), ("failed", ran), ("skipped", left), ("error", left)):
        for report in terminalreporter.stats.get(outcome, []):
            if getattr(report, "when", "") in ("call", "setup"):
                for key, part in report.user_properties:
                    if key == _PART:
                        counts[part] = counts.get(part, 0) + 1
    terminalreporter.section("real parts")
    for part, count in sorted(ran.items()):
        terminalreporter.line(f"ran: {part} ({count} tests)")
    for part, count in sorted(left.items()):
        terminalreporter.line(f"did not run: {part} ({count} tests)")
    if not ran and not left:
        terminalreporter.line("none was asked for")
