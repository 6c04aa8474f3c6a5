"""What the metrics of one process say beside its counters: how things stand at this moment."""

import resource
import sys
from pathlib import Path

from pinfeather.model.decide import Status
from pinfeather.proxy.edge import Edge
from pinfeather.proxy.metrics import Family, Sample

_STATM = Path("/proc/self/statm")


def families(edge: Edge) -> list[Family]:
    """Everything that one process has to say."""
    live = edge.live
    up = {
        (name, key): status is not Status.DOWN
        for name, keys in live.serving.servers.items()
        for key, status in zip(keys, live.state.servers[name], strict=True)
    }
    servers: list[Sample] = [("", (("service", service), ("server", server)), value) for (service, server), value in up.items()]
    found = [
        *edge.metrics.families(),
        Family.gauge("pinfeather_open_connections", "Connections of clients.", len(edge.connections)),
        Family.gauge("pinfeather_server_connections", "Connections to servers, in use or kept.", len(edge.pool)),
        Family("pinfeather_server_up", "gauge", "1: no health check has found the server down, in any worker.", servers, "min"),
        Family.gauge("pinfeather_routes", "Routes of the document.", len(live.serving.document.routes), "min"),
        Family.gauge("pinfeather_closed_routes", "Routes that answer 503.", len(live.serving.closed), "min"),
        Family.gauge("pinfeather_peak_memory_bytes", "The most memory that the process ever had.", _peak(), "apart"),
    ]
    if edge.log is not None:
        dropped = edge.log.dropped
        found.append(Family("pinfeather_access_log_dropped_total", "counter", "Lines that were not written.", [("", (), dropped)]))
    if (resident := _resident()) is not None:
        found.append(Family.gauge("pinfeather_resident_memory_bytes", "Memory of the process (Linux).", resident, "apart"))
    return found


def _peak() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _resident() -> int | None:
    try:
        return int(_STATM.read_text().split()[1]) * resource.getpagesize()
    except OSError:  # not Linux
        return None
