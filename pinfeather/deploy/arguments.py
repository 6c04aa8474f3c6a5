"""The options of `pinfeather plan` and `pinfeather render`."""

from __future__ import annotations

import argparse


def plan_parser() -> argparse.ArgumentParser:
    """Of `pinfeather plan`."""
    parser = argparse.ArgumentParser(prog="pinfeather plan", allow_abbrev=False)
    _stack(parser)
    parser.add_argument(
        "--against",
        default="HEAD",
        metavar="REVISION",
        help="the revision that is compared with the files here (default: HEAD); for a pull request: origin/main",
    )
    parser.add_argument("--report", choices=("text", "json", "markdown"), default="text", help="how it is printed")
    parser.epilog = (
        "What `pulumi preview` says, without the engine and the cluster. Exit codes: 0 fine, 1 refused by the policy or by a loss, 2 input."
    )
    parser.set_defaults(command="plan")
    return parser


def render_parser() -> argparse.ArgumentParser:
    """Of `pinfeather render`."""
    parser = argparse.ArgumentParser(prog="pinfeather render", allow_abbrev=False)
    _stack(parser)
    parser.add_argument(
        "--to", required=True, metavar="DIR", help="the folder to write; what an earlier render left there and is no more goes"
    )
    parser.add_argument("--write-secrets", action="store_true", help="write Secrets too, in the clear (mode 0600)")
    parser.add_argument("--check", action="store_true", help="write nothing: exit 1 where the folder is not what would be written")
    parser.epilog = (
        "For Argo CD, Flux and kubectl: nothing that is written needs Pinfeather. "
        "Exit codes: 0 fine, 1 refused or different, 2 input, 4 files."
    )
    parser.set_defaults(command="render")
    return parser


def _stack(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", required=True, metavar="NAME", help="its settings are stacks/Pulumi.NAME.yaml")
    parser.add_argument("--cwd", default=".", metavar="DIR", help="the project's folder: where Pulumi.yaml is (default: here)")
