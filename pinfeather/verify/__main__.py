"""`python -m pinfeather.verify FILE …`: the command `pinfeather verify`, as `tools/stack.py` runs it."""

import sys

from pinfeather.cli import main

sys.exit(main(["verify", *sys.argv[1:]]))
