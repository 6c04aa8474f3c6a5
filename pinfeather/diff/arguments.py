"""The options of `pinfeather diff`."""

from __future__ import annotations

import argparse

from pinfeather._arguments import source


def parser() -> argparse.ArgumentParser:
    """Of `pinfeather diff`. What follows `--` are paths in the two revisions of Git."""
    diff = argparse.ArgumentParser(prog="pinfeather diff", allow_abbrev=False)
    diff.usage = "pinfeather diff [OPTION]... BEFORE AFTER\n       pinfeather diff [OPTION]... REVISION..REVISION -- PATH..."
    diff.add_argument(
        "sides", nargs="+", metavar="SIDE", help="two files or folders; or two revisions of Git, A..B, and behind -- what to read in them"
    )
    diff.add_argument(
        "--replay", metavar="LOG", help="count the requests of an access log instead: Traefik's (JSON or CLF) or ours; - for standard input"
    )
    diff.add_argument(
        "--log-keeps", action="append", default=[], metavar="HEADER[,…]", help="headers that the log has of whoever sent them"
    )
    diff.add_argument("--report", choices=("text", "json", "markdown"), default="text", help="how the answer is printed")
    diff.add_argument("--all", action="store_true", help="show every class")
    source(diff)
    diff.epilog = "Exit codes: 0 they do the same, 1 they differ, 2 usage or input, 4 files. More: docs/diff.md."
    diff.set_defaults(command="diff")
    return diff
