"""One entry of the corpus held against what a real Traefik made of it."""

from __future__ import annotations

from collections.abc import Mapping

from pinfeather.model.diagnostics import Severity
from pinfeather.testing.traefik import Json
from pinfeather.translators.contract import NOTHING, Parsed
from tests.corpus_real.meaning import HTTP, TCP, Addresses, OfDocument, OfTraefik

POINTS = ("federation", "http", "https", "imaps", "mqtt", "mqtts", "port-5432", "port-6379", "postgres", "smtps", "ssh", "web", "websecure")
"""Every entry point that the corpus names."""
DEFAULT = ("web", "websecure")
AS_DEFAULT = tuple(f"--entrypoints.{name}.asdefault=true" for name in DEFAULT)
"""A router that names no entry point is on these alone: the others may be taken by TCP routes as a whole."""
UNREAD = frozenset({"unread.unsupported"})
"""What Traefik knows and the model does not: a router more on Traefik, and an error that says so."""
MEANT = frozenset({"lint.old-api-group", "lint.v2-syntax"})
"""Errors with a fix of what Traefik passes over, or refuses: it is read as it was meant, and Traefik has the router only once it is fixed."""


def compare(
    parsed: Parsed,
    raw: Mapping[str, Json],
    provider: str,
    addresses: Addresses,
    *,
    v2: bool = False,
    within: str = "",
    numbers: bool = True,
    elsewhere: Mapping[str, str] = NOTHING,
) -> None:
    """Our reading is Traefik's: the same routers with the same contents; what Traefik disables is an error of ours, and no route.

    `numbers`: whether the priorities are the same numbers, or may be others in the same order.
    """
    real = OfTraefik(raw, provider, v2=v2, within=within, numbers=numbers, elsewhere=elsewhere)
    errors = [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR]
    disabled = {**real.disabled(HTTP), **real.disabled(TCP)}
    assert errors or not disabled, f"Traefik disables what we read without an error: {disabled}"
    if parsed.document is None:
        assert disabled, f"Traefik takes what we do not read: {errors}"
        return
    document = OfDocument(parsed.document, DEFAULT, addresses, numbers=numbers)
    for side, ours in ((HTTP, document.http()), (TCP, document.tcp())):
        theirs = real.enabled(side)
        more = "\n  ".join(
            ("", "ours alone:", *(ours - theirs), "Traefik's alone:", *(theirs - ours), "disabled:", *map(str, disabled.items()))
        )
        meant = sum(finding.code in MEANT for finding in errors)
        assert (ours - theirs).total() <= meant, f"we read routers that Traefik does not have{more}"
        unread = sum(finding.code in UNREAD for finding in errors)
        assert (theirs - ours).total() <= unread, f"Traefik has routers that we do not read{more}"
