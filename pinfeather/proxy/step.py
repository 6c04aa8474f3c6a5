"""One middleware made ready to be executed: what its step is, and how a builder says that there can be none."""

from collections.abc import Awaitable, Callable

from pinfeather.proxy.passage import Answer, Passage

Outcome = Answer | None
"""An answer ends the request's way; None lets it go on."""
Step = Callable[[Passage], Outcome | Awaitable[Outcome]]
"""Changes the request, or answers it and so ends its way; what takes long is to be awaited."""


class Unfit(Exception):  # noqa: N818 - says what a middleware is
    """Why a middleware cannot be executed. Its route is closed."""
