"""Fixtures for every test: the real parts. A part that is missing is skipped with a reason, or fails if it is required."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parts.fixtures import docker as docker
from tests.parts.fixtures import haproxy as haproxy
from tests.parts.fixtures import helm_template as helm_template
from tests.parts.fixtures import kubernetes as kubernetes
from tests.parts.fixtures import kubernetes_server as kubernetes_server
from tests.parts.fixtures import servers as servers
from tests.parts.fixtures import start_traefik as start_traefik
from tests.parts.fixtures import traefik as traefik

REAL_PARTS = {
    "test_engine": "the Pulumi engine",
    "test_dev_stack": "the Pulumi engine, Traefik, the reference proxy and demo servers",
    "test_provider": "our provider plugin over gRPC",
    "test_rule_traefik": "Traefik",
    "test_decide_traefik": "Traefik",
    "test_traefik_file_real": "Traefik",
    "test_docker_labels_real": "Traefik, older versions of it, and a stand-in of Docker's API",
    "test_ingressroute_real": "an API server of Kubernetes, and Traefik",
    "test_ingress_real": "an API server of Kubernetes, and Traefik",
    "test_beside_traefik": "Traefik and the reference proxy",
    "test_differential": "Traefik and the reference proxy",
    "test_raw": "Traefik, HAProxy and the reference proxy",
    "test_sheets": "Traefik, the reference proxy and servers",
    "test_sheets_elsewhere": "Traefik, an API server of Kubernetes and a stand-in of Docker's API",
    "test_no_way_round": "Traefik, the reference proxy and servers",
    "test_lint_real": "Traefik and servers",
    "test_lint_real_labels": "Traefik, the stand-in of the Docker API and a real API server",
    "test_kubernetes": "an API server of Kubernetes, and Traefik",
    "test_docker": "Traefik and a stand-in of Docker's API",
    "test_haproxy_and_helm": "HAProxy and Helm",
    "test_helm_renders": "Helm",
    "test_traefik_versions": "older versions of Traefik",
    "test_versions": "Traefik of every minor, and a stand-in of Docker's API",
    "test_versions_crd": "Traefik of every minor, and an API server of Kubernetes",
    "test_voyager_haproxy": "HAProxy",
    "test_voyager_sheets": "HAProxy",
    "test_voyager_real": "an API server of Kubernetes",
    "test_files_on_traefik": "Traefik",
    "test_containers_on_traefik": "Traefik and a stand-in of Docker's API",
    "test_cluster_on_traefik": "an API server of Kubernetes, Traefik and Traefik 2.11",
    "test_written_on_traefik": "an API server of Kubernetes, a stand-in of Docker's API, and Traefik",
    "test_example": "a wheel in a venv of its own",
}
"""Test modules that need more than Python, and what they ran on."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--examples", type=int, metavar="N", help="so many random examples, and others in each run, where a test says so")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which real parts ran, and which did not."""
    ran: dict[str, int] = {}
    left: dict[str, int] = {}
    for outcome, counts in (("passed", ran), ("failed", ran), ("skipped", left), ("error", left)):
        for report in terminalreporter.stats.get(outcome, []):
            module = Path(report.nodeid.partition("::")[0]).stem
            if (part := REAL_PARTS.get(module)) is not None and getattr(report, "when", "") in ("call", "setup"):
                counts[part] = counts.get(part, 0) + 1
    terminalreporter.section("real parts")
    for part, count in sorted(ran.items()):
        terminalreporter.line(f"ran: {part} ({count} tests)")
    for part, count in sorted(left.items()):
        terminalreporter.line(f"did not run: {part} ({count} tests)")
    if not ran and not left:
        terminalreporter.line("none was asked for")
