"""The pytest plugin: the option `--accept-cases` and the fixture `accept_cases`.

It is loaded at the start of every pytest run of whoever has Pinfeather installed, so it imports nothing but pytest.
The sheets themselves are read by `pinfeather.testing.sheets` and judged by `pinfeather.testing.checks`.
"""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pinfeather")
    group.addoption("--accept-cases", action="store_true", help="write the generated parts of case sheets again, in place")


@pytest.fixture(scope="session")
def accept_cases(request: pytest.FixtureRequest) -> bool:
    """Whether case sheets are to be rewritten instead of judged."""
    return bool(request.config.getoption("--accept-cases"))
