"""What `tools/setup.py` does, step by step, once it knows that this Python and this system will do."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tools import obtain, packages, parts
from tools.running import Clock, FailedError, alone, write
from tools.toolchain import pulumi_environment

ROOT = Path(__file__).resolve().parents[1]
# Each is found or made after .venv, and says in one line what it is; those after the first are for the tests, and stop nothing.
PARTS: dict[str, Callable[..., str]] = {
    "pulumi": obtain.ensure,
    "traefik-v3": parts.ensure_traefiks,
    **{name: partial(parts.ensure, name=name) for name in parts.PARTS},
}


def main(arguments: list[str]) -> int:
    """Returns the exit code: 0 done, 2 a wrong argument, 4 something is missing that the message names."""
    options = _parser().parse_args(arguments)
    # Without this a SIGTERM would leave the compiler running behind us.
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        if options.print_env:
            _print_environment()
        else:
            _set_up(options.dev, _default(options.dev) if options.parts is None else options.parts)
    except FailedError as error:
        sys.stderr.write(f"setup: {error}\n")
        return 4
    except OSError as error:
        sys.stderr.write(f"setup: {error.filename or ROOT}: {error.strerror}\n")
        return 4
    except KeyboardInterrupt:
        sys.stderr.write("\nsetup: interrupted; the next one goes on from here\n")
        return 130
    return 0


def _set_up(develop: bool, parts: list[str]) -> None:
    with alone(ROOT, Clock("setup")):
        clock = Clock("venv")
        clock.done(packages.ensure(ROOT, develop, clock))
        for part in parts:
            clock = Clock(part)
            clock.done(PARTS[part](ROOT, clock=clock, environment=os.environ))


def _default(develop: bool) -> list[str]:
    return list(PARTS) if develop else ["pulumi"]


def _print_environment() -> None:
    for name, value in sorted(pulumi_environment(ROOT).items()):
        if os.environ.get(name) != value:
            write(f"export {name}={shlex.quote(value)}")


def _parts(text: str) -> list[str]:
    parts = [part for part in text.split(",") if part]
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no part {', '.join(unknown)}; there is {', '.join(PARTS)}")
    return parts


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 tools/setup.py", description="Make .venv from the lock, and find, download or build Pulumi."
    )
    parser.add_argument("--dev", action="store_true", help="with what the tests and checks need")
    parser.add_argument(
        "--with",
        dest="parts",
        metavar="PART,...",
        type=_parts,
        help=f"which parts beside .venv, may be empty (default: {','.join(_default(False))}; with --dev: {','.join(_default(True))})",
    )
    parser.add_argument(
        "--print-env",
        action="store_true",
        help='for a shell of your own: eval "$(python3 tools/setup.py --print-env)", then pulumi',
    )
    return parser


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
