"""Passive health checks: a server that fails requests too often is left out for a while (Traefik 3.7, pkg/healthcheck).

A failure is a connection that could not be made or broke before an answer, what is no answer or does not come in time, and an
answer of 500 or more; any other answer wipes them out. `max_failed_attempts` of them (1 if it does not say) within
`failure_window` (10 s) take the server down: for as long as the window where nothing else asks it, else until the active check
finds it healthy.
"""

import asyncio
from collections import deque
from collections.abc import Callable

from pinfeather.model.decide import Status
from pinfeather.model.noun import seconds
from pinfeather.model.services import LoadBalancer
from pinfeather.proxy.account import Account

_WINDOW = 10.0
_ATTEMPTS = 1

Report = Callable[[str, str, Status], bool]
"""Takes the status of a service's server, by its key; returns whether that is news."""


class Failures:
    """The failures of all servers of one edge. On the loop's clock."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._times: dict[tuple[str, str], deque[float]] = {}  # by service and server

    def answered(self, account: Account) -> None:
        """A server has answered."""
        if account.origin_status >= 500:
            self.failed(account)
        elif self._times and (found := _watched(account)) is not None:
            self._times.pop(found[:2], None)

    def failed(self, account: Account) -> None:
        """A server could not be reached, broke off before its answer, or answered that it failed."""
        found = _watched(account)
        if found is None:
            return
        name, key, service = found
        check = service.passive_health_check
        assert check is not None
        window = seconds(check.failure_window) if check.failure_window else _WINDOW
        loop = asyncio.get_running_loop()
        times = self._times.setdefault((name, key), deque())
        times.append(loop.time())
        while times[0] < loop.time() - window:
            times.popleft()
        if len(times) < (check.max_failed_attempts or _ATTEMPTS):
            return
        times.clear()
        if self._report(name, key, Status.DOWN) and service.health_check is None:
            loop.call_later(window, self._report, name, key, Status.UP)


def _watched(account: Account) -> tuple[str, str, LoadBalancer] | None:
    """The service by name, its server's key, and the service, if failures count there."""
    decision, live = account.decision, account.live
    if decision is None or live is None or decision.service is None or decision.server_key is None:
        return None
    service = live.serving.document.services.get(decision.service)
    if not isinstance(service, LoadBalancer) or service.passive_health_check is None:
        return None
    return decision.service, decision.server_key, service
