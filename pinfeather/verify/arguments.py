"""The options of `pinfeather verify`."""

from __future__ import annotations

import argparse
import re
from fractions import Fraction

from pinfeather._arguments import source

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Z-]+")


def parser() -> argparse.ArgumentParser:
    """Of `pinfeather verify`."""
    verify = argparse.ArgumentParser(prog="pinfeather verify", allow_abbrev=False)
    verify.add_argument("files", nargs="+", metavar="FILE", help="what to read")
    verify.add_argument(
        "--url",
        action="append",
        default=[],
        metavar="[[PROXY:]ENTRY=]URL",
        help="where an entry point of a running proxy is reached; may be given again. The host that is asked for is the document's",
    )
    verify.add_argument(
        "--start",
        action="append",
        default=[],
        choices=("traefik", "haproxy", "reference"),
        help="start one itself, with demo servers, on loopback; may be given again",
    )
    verify.add_argument(
        "--identify", metavar="HOW", help="who answered: header:NAME, body:REGEX (default: whoami's `Hostname:`), cookie or cookie:FORMAT"
    )
    verify.add_argument(
        "--name", action="append", default=[], type=_pair, metavar="NAME=SERVICE", help="whose name that is, where it cannot be learnt"
    )
    verify.add_argument(
        "--rate", type=_above_zero, metavar="N", help="requests a second to each proxy (default: 50; no limit on loopback of ours)"
    )
    verify.add_argument("--budget", type=_count, metavar="N", help="requests to each proxy (default: 5000; no limit with --start)")
    verify.add_argument(
        "--doubt", type=_doubt, default="1e-6", metavar="P", help="how improbable a count is before it is wrong (default: 1e-6)"
    )
    verify.add_argument(
        "--unlike",
        metavar="route:NAME=W,W",
        help="weights that a route (split:NAME=…: a service) may still have: so many are asked that they would be seen",
    )
    verify.add_argument("--methods", action="append", default=[], type=_methods, metavar="POST[,…]", help="methods beside GET and HEAD")
    verify.add_argument("--user", type=_user, metavar="NAME:PASSWORD", help="what opens a basic_auth; without it only its refusal is asked")
    verify.add_argument("--websocket", action="store_true", help="with --url: ask for a WebSocket, too")
    verify.add_argument("--stop", metavar="COMMAND", help="with --url: stops a server, {} is its URL; its clients are asked for then")
    verify.add_argument("--restart", metavar="COMMAND", help="starts it again")
    verify.add_argument(
        "--demo", action="store_true", help="with --url: the document's servers are demo servers: ask them for names, and close one"
    )
    verify.add_argument("--insecure", action="store_true", help="take any certificate")
    verify.add_argument("--ca", metavar="FILE", help="the authority that certificates are from")
    verify.add_argument("--report", "--format", choices=("text", "json", "markdown"), default="text", help="how the table is printed")
    verify.add_argument("--all", action="store_true", help="show every row")
    source(verify)
    verify.epilog = (
        "Exit codes: 0 all holds, 1 something does not, 2 usage or input, 4 a proxy or a server does not answer. More: docs/verify.md."
    )
    verify.set_defaults(command="verify")
    return verify


def _methods(text: str) -> tuple[str, ...]:
    found = tuple(word.strip().upper() for word in text.split(",") if word.strip())
    for word in found:
        if _METHOD.fullmatch(word) is None:
            raise argparse.ArgumentTypeError(f"{word!r} is no method")
    return found


def _pair(text: str) -> str:
    if not all(text.partition("=")):
        raise argparse.ArgumentTypeError(f"{text!r} is not of the form NAME=SERVICE")
    return text


def _user(text: str) -> str:
    if not text.partition(":")[1]:
        raise argparse.ArgumentTypeError("it is not of the form NAME:PASSWORD")
    return text


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a whole number from 1 to 999999999")
    return int(text)


def _above_zero(text: str) -> Fraction:
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if not Fraction(1, 1000) <= found <= 10**6:
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a number from 0.001 to 1000000")
    return found


def _doubt(text: str) -> Fraction:
    try:
        found = Fraction(text)
    except (ValueError, ZeroDivisionError):
        found = Fraction(0)
    if not Fraction(1, 10**12) <= found <= Fraction(1, 2):
        raise argparse.ArgumentTypeError(f"{text!r} is not a probability from 1e-12 to 0.5")
    return found
