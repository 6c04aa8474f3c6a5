"""What middlewares keep between requests and over reloads: buckets of rate limits, threads for dear password checks, and
connections to authentication servers. One for each process of the proxy."""

import asyncio
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from pinfeather.model.middlewares import RateLimit
from pinfeather.proxy.asking import Questions
from pinfeather.proxy.backend import Origin
from pinfeather.proxy.rate_limit import Buckets, Limit

T = TypeVar("T")


class Resources:
    """Made once, before the first document. `workers`: how many processes share what the document limits."""

    def __init__(self, workers: int = 1) -> None:
        self.workers = workers
        self._buckets: dict[tuple[str, RateLimit], Buckets] = {}
        self._threads: ThreadPoolExecutor | None = None
        self._questions: dict[Origin, Questions] = {}

    def buckets(self, name: str, config: RateLimit) -> Buckets | None:
        """The buckets of a limit, those from before where it is the same; None where nothing is limited.

        Raises `rate_limit.Unshareable`.
        """
        found = self._buckets.get((name, config))
        if found is None and (limit := Limit.of(config, self.workers)) is not None:
            found = self._buckets[name, config] = Buckets(limit)
        return found

    def keep(self, limits: Iterable[tuple[str, RateLimit]]) -> None:
        """Forget the buckets of all other limits: a document is served that has only these."""
        kept = set(limits)
        self._buckets = {key: buckets for key, buckets in self._buckets.items() if key in kept}

    def in_thread(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Do work that takes long off the event loop, on few threads, so that requests under way go on."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(max(1, (os.cpu_count() or 2) // 2), "pinfeather-check")
        return asyncio.get_running_loop().run_in_executor(self._threads, work)

    def questions(self, origin: Origin) -> Questions:
        """The connections to a server that is asked about requests."""
        return self._questions.setdefault(origin, Questions(origin))

    def close(self) -> None:
        """The proxy ends."""
        for questions in self._questions.values():
            questions.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._threads = None
