"""What `pulumi up` runs. The stack's settings are in `stacks/Pulumi.<stack>.yaml`, its work is in `pinfeather/deploy/`."""

from pathlib import Path

import pulumi

from pinfeather.deploy.program import run

run(pulumi.get_stack(), Path(__file__).resolve().parent)
