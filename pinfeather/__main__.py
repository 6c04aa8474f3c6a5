"""`python -m pinfeather`: the command, for who has no `pinfeather` on PATH."""

from pinfeather.cli import console

console()
