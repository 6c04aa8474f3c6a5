"""What a test does when a real part is not there.

`PINFEATHER_REQUIRE=all`: what is missing fails its test. `all-but-netns`: the same, and the tests that want a network namespace, which takes
root, are left out. Without it, what is missing is skipped with its reason.
"""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

VARIABLE = "PINFEATHER_REQUIRE"
ALL, ALL_BUT_NETNS = "all", "all-but-netns"


def required() -> str:
    """What the environment asks for: nothing, `all` or `all-but-netns`. Any other word fails the test: it would ask for nothing."""
    asked = os.environ.get(VARIABLE, "")
    if asked not in ("", ALL, ALL_BUT_NETNS):
        pytest.fail(f"{VARIABLE}={asked} is not known: write {ALL} or {ALL_BUT_NETNS}, or leave it out")
    return asked


def missing(what: str) -> NoReturn:
    """Skips with the reason; fails where PINFEATHER_REQUIRE says that nothing may be skipped."""
    asked = required()
    if asked:
        pytest.fail(f"{what} is not here, and {VARIABLE}={asked} wants it")
    pytest.skip(f"{what} is not here")


def skip_if_netns_is_left_out() -> None:
    """Skips what wants a network namespace where `all-but-netns` is said, even if one could be had: what runs does not hang on luck."""
    if required() == ALL_BUT_NETNS:
        pytest.skip(f"{VARIABLE}={ALL_BUT_NETNS} leaves out the network namespace")
