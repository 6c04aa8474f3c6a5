"""What a test does when a real part is not there."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def missing(what: str) -> NoReturn:
    """Skips with the reason; fails where PINFEATHER_REQUIRE=all says that nothing may be skipped."""
    if os.environ.get("PINFEATHER_REQUIRE") == "all":
        pytest.fail(f"{what} is not here, and PINFEATHER_REQUIRE=all wants it")
    pytest.skip(f"{what} is not here")
