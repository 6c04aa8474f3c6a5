"""The program of one stack under Pulumi's mocks, in a process of its own: `python -m tests.deploy.mocked_stack STACK ROOT`.

Prints what it made as JSON; or, refused, the message on standard error, and ends with 1.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import pulumi
from pulumi.runtime import set_mocks
from pulumi.runtime.stack import wait_for_rpcs

from pinfeather.deploy.program import run
from tests.deploy.mocked_graph import Recorded


def main(stack: str, root: Path) -> int:
    recorded = Recorded()
    set_mocks(recorded, project="pinfeather", stack=stack)
    try:
        run(stack, root)
    except pulumi.RunError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    asyncio.get_event_loop().run_until_complete(wait_for_rpcs())
    json.dump(recorded.made, sys.stdout)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], Path(sys.argv[2])))
