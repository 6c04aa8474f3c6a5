"""What a change may not do to traffic."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pinfeather.deploy.contract import Value


class Policy(Value):
    """Absent: no limit."""

    max_moved_share: str | None = None
    no_new_losses: bool = False
    keep_pins: bool = False
    never_wider: bool = False
    max_deletions: Annotated[int, Field(ge=0)] | None = None
