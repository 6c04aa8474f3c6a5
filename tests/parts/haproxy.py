"""A real HAProxy: a configuration that it has checked first, on free ports of loopback, with its log at hand."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

from tests.parts.processes import PartError, Process, free_ports, listening

_BUSY = "cannot bind socket"


class HAProxy:
    """One process from its start to `stop`."""

    def __init__(self, folder: Path, binary: Path, text: str, ports: Iterable[str] = ("web",)) -> None:
        """Starts with a configuration in which each port is a variable of its environment: `bind "127.0.0.1:${web}"`, quotes included.

        Raises PartError with what it says where it refuses the configuration.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self._names = tuple(ports)
        self._ports: dict[str, int] = {}
        file = folder / "haproxy.cfg"
        file.write_text(text, "utf-8")
        for _ in range(5):  # between the choice of a free port and its use, another may take it
            self._ports = dict(zip(self._names, free_ports(len(self._names)), strict=True))
            environment = {name: str(port) for name, port in self._ports.items()}
            checked = subprocess.run(
                [binary, "-c", "-f", file], env=environment, capture_output=True, text=True, timeout=30, check=False, cwd=folder
            )
            self.warnings = checked.stdout + checked.stderr
            if checked.returncode:
                raise PartError(f"HAProxy refuses the configuration:\n{self.warnings}")
            self._process = Process([binary, "-db", "-f", file], folder / "haproxy.log", environment)
            try:
                self._process.wait(lambda: all(map(listening, self._ports.values())), "listening")
            except PartError as error:
                self.stop()
                if _BUSY not in str(error).lower():
                    raise
            else:
                return
        raise PartError("no free port was found in five attempts")

    def port(self, name: str = "web") -> int:
        return self._ports[name]

    def log(self) -> str:
        """What it wrote: `log stdout format raw daemon` in `global` and `log global` in a section send the requests there."""
        return self._process.log()

    def stop(self) -> None:
        """Ends it; a second call does nothing."""
        self._process.stop()
