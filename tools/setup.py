"""Set everything up: `.venv` from the lock, and a Pulumi engine. `python3 tools/setup.py --help` says more.

This file is read by whatever `python3` is, so it uses no syntax newer than Python 3.6.
"""

import sys

NEED = (3, 11)


def refusal(version: "tuple[int, ...]", platform: str) -> "str | None":
    """Why this interpreter on this system cannot go on, or None."""
    if platform not in ("linux", "darwin"):
        return (
            "deploying with Pinfeather works on Linux and macOS, not on this system; "
            "converting, linting and explaining do: pip install pinfeather"
        )
    if version < NEED:
        return "Python 3.11 or newer is needed, and this is {}.{}: make PYTHON=python3.12 setup".format(*version)
    return None


if __name__ == "__main__":
    REFUSAL = refusal(tuple(sys.version_info[:2]), sys.platform)
    if REFUSAL:
        sys.exit("setup: " + REFUSAL)
    sys.path[0] = sys.path[0] + "/.."
    from tools.steps import main

    sys.exit(main(sys.argv[1:]))
