"""The one pluggy hook. Apart from `contract.py`, so that a run without plugins does not load pluggy."""

from __future__ import annotations

import pluggy

from pinfeather.translators.contract import AnyTranslator

hookspec = pluggy.HookspecMarker("pinfeather")
hookimpl = pluggy.HookimplMarker("pinfeather")


@hookspec
def pinfeather_translators() -> list[AnyTranslator]:  # type: ignore[empty-body]
    """The translators that a plugin brings."""
