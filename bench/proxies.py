"""The reference proxy beside Traefik and HAProxy: one document, one backend, one core each, the same load. Needs `wrk` and `haproxy`.

Each answer is 1 KiB, each client has its sticky cookies (or none, on a first visit), connections are kept, and every check is
on. The backend is a HAProxy that answers by itself. Where the system can pin (Linux), the proxy has one core and load and
backend share another. Counted are requests by the CPU seconds that the proxy spent on them: other work on the machine
moves that less than requests by the wall's seconds, which are shown beside it. Rounds are short and many, and a ratio is the
median of the ratios of all rounds: other work that comes and goes meets both.
"""

from __future__ import annotations

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.backend import HOST, answering, document
from pinfeather.testing.traefik import find_traefik
from tests.parts.processes import Process, free_ports, listening

ROUNDS = 21
SECONDS = 1
CLIENTS = 32
# Title, whether clients bring their cookies, and whether each request has a path that nobody asked for before.
LOADS = (("bound by cookie", True, False), ("bound by cookie, each time a new path", True, True), ("first visit", False, False))
OURS, TRAEFIK, HAPROXY, DIRECT = "pinfeather proxy", "Traefik", "HAProxy", "direct"


class MissingError(Exception):
    """A program that the measurement needs is not there; the text says which."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run of wrk saw, and what the proxy spent."""

    per_second: float
    cpu: float
    """Microseconds of the proxy's CPU a request."""
    p50: float
    p99: float
    """Milliseconds."""


@dataclass(frozen=True, slots=True)
class Running:
    """A proxy under measurement."""

    port: int
    process: psutil.Process | None
    """Absent: nothing stands between load and backend."""


def program(name: str) -> str:
    """The path of a program. Raises MissingError."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    if found is None:
        raise MissingError(f"{name} is not there; install it (Debian: apt-get install {name}, macOS: brew install {name})")
    return found


def pinned(core: int) -> list[str]:
    """What to put before a command so that it runs on one core; nothing where the system cannot."""
    taskset = shutil.which("taskset")
    return [taskset, "-c", str(core)] if taskset and (psutil.cpu_count() or 1) > core else []


@contextmanager
def proxies(folder: Path, log: Sequence[str] = ()) -> Iterator[dict[str, Running]]:
    """All four, running. `log`: further arguments of the reference proxy."""
    with ExitStack() as stack:
        backends = stack.enter_context(answering(folder / "backend", [*pinned(0), program("haproxy")]))
        made = document(backends)
        starts: dict[str, Callable[[Path], Process]] = {}
        ports = dict(zip((OURS, TRAEFIK, HAPROXY), free_ports(3), strict=True))
        starts[OURS] = lambda place: _ours(place, made, ports[OURS], log)
        starts[TRAEFIK] = lambda place: _traefik(place, made, ports[TRAEFIK])
        starts[HAPROXY] = lambda place: _haproxy(place, backends, ports[HAPROXY])
        running = {DIRECT: Running(backends[0], None)}
        for name, start in starts.items():
            place = folder / name.replace(" ", "-")
            place.mkdir()
            process = start(place)
            stack.callback(process.stop)
            process.wait(lambda port=ports[name]: listening(port), f"{name} listening")  # type: ignore[misc]
            running[name] = Running(ports[name], psutil.Process(process.pid))
        yield running


def _ours(folder: Path, text: str, port: int, log: Sequence[str]) -> Process:
    file = folder / "routes.yaml"
    file.write_text(text, "utf-8")
    words = [sys.executable, "-m", "pinfeather.proxy", str(file), "--listen", f"web=127.0.0.1:{port}", "--traefik-compat", *log]
    return Process([*pinned(1), *words], folder / "log")


def _traefik(folder: Path, text: str, port: int) -> Process:
    canonical, file = folder / "routes.yaml", folder / "dynamic.yml"
    canonical.write_text(text, "utf-8")
    convert = [str(Path(sys.executable).with_name("pinfeather")), "convert", str(canonical), "--from", "pinfeather", "--to", "traefik-file"]
    file.write_bytes(subprocess.run(convert, capture_output=True, check=True).stdout)
    binary = find_traefik()
    if binary is None:
        raise MissingError("Traefik is not there; `make setup-dev` installs it")
    words = [
        str(binary), f"--entrypoints.web.address=127.0.0.1:{port}", f"--providers.file.filename={file}",
        "--global.checkNewVersion=false", "--global.sendAnonymousUsage=false", "--log.level=ERROR",
    ]  # fmt: skip
    return Process([*pinned(1), *words], folder / "log", {"GOMAXPROCS": "1"})


def _haproxy(folder: Path, backends: Sequence[int], port: int) -> Process:
    file = folder / "haproxy.cfg"
    servers = "\n".join(f"  server s{at} 127.0.0.1:{at} cookie s{at}" for at in backends)
    file.write_text(
        "global\n  nbthread 1\ndefaults\n  mode http\n  timeout client 10s\n  timeout server 10s\n  timeout connect 2s\n"
        f"frontend web\n  bind 127.0.0.1:{port}\n  use_backend all if {{ hdr(host) -i {HOST} }}\n"
        f"backend all\n  cookie srv insert indirect nocache\n{servers}\n",
        "utf-8",
    )
    return Process([*pinned(1), program("haproxy"), "-db", "-f", str(file)], folder / "log")


def wrk(port: int, cookies: str, process: psutil.Process | None, *, new_paths: bool = False) -> Run:
    """One run. Raises MissingError; RuntimeError where an answer was not 2xx."""
    words = [*pinned(0), program("wrk"), "-t1", f"-c{CLIENTS}", f"-d{SECONDS}s", "--latency", "-H", f"Host: {HOST}"]
    words += ["-H", f"Cookie: {cookies}"] if cookies else []
    words += ["-s", str(Path(__file__).with_name("new_paths.lua"))] if new_paths else []
    before = _spent(process)
    done = subprocess.run([*words, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, timeout=SECONDS + 30, check=True)
    spent = _spent(process) - before
    if "Non-2xx" in done.stdout or "Socket errors" in done.stdout:
        raise RuntimeError(done.stdout)
    count = int(re.findall(r"(\d+) requests in", done.stdout)[0])
    per_second = float(re.findall(r"Requests/sec: +([\d.]+)", done.stdout)[0])
    at = dict(re.findall(r"(50|99)% +([\d.]+(?:us|ms|s))", done.stdout))
    return Run(per_second, spent / count * 1e6, _ms(at["50"]), _ms(at["99"]))


def _spent(process: psutil.Process | None) -> float:
    if process is None:
        return 0.0
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(one.user + one.system for one in times)


def _ms(text: str) -> float:
    number, unit = re.findall(r"([\d.]+)(us|ms|s)", text)[0]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def cookies_of(port: int) -> str:
    """The cookies that a first visit gets, as a Cookie header."""
    done = subprocess.run(
        ["curl", "-s", "-i", "-H", f"Host: {HOST}", f"http://127.0.0.1:{port}/"], capture_output=True, text=True, timeout=10, check=True
    )
    return "; ".join(re.findall(r"(?im)^set-cookie: ([^;\r]+)", done.stdout))


def measure() -> None:
    """Requests by CPU second and the time that each adds, the proxies taking turns."""
    try:
        with tempfile.TemporaryDirectory() as folder, proxies(Path(folder)) as running:
            for title, bound, new_paths in LOADS:
                samples: dict[str, list[Run]] = {name: [] for name in running}
                jars = {name: cookies_of(one.port) if bound else "" for name, one in running.items()}
                for round_ in range(ROUNDS + 1):
                    for name, one in running.items():
                        run = wrk(one.port, jars[name], one.process, new_paths=new_paths)
                        if round_:  # the first one warms up
                            samples[name].append(run)
                _show(title, samples)
    except MissingError as missing:
        print(f"  not measured: {missing}")


def _show(title: str, samples: Mapping[str, Sequence[Run]]) -> None:
    def median(name: str, field: str) -> float:
        return statistics.median(getattr(run, field) for run in samples[name])

    print(f"  {title}, {CLIENTS} connections, 1 KiB, median of {ROUNDS} rounds of {SECONDS} s:")
    for name in samples:
        spent = median(name, "cpu")
        per_core = f"{1e6 / spent:,.0f} requests a CPU second ({spent:.0f} us each)" if spent else "no proxy"
        times = f"p50 {median(name, 'p50'):.2f} ms, p99 {median(name, 'p99'):.2f} ms"
        print(f"    {name}: {per_core}; {median(name, 'per_second'):,.0f}/s; {times}")
    for other in (TRAEFIK, HAPROXY):
        ratio = statistics.median(theirs.cpu / ours.cpu for theirs, ours in zip(samples[other], samples[OURS], strict=True))
        bar = f"; bar 1.0x: {'holds' if ratio >= 1 else 'MISSED'}" if other is TRAEFIK else ""
        print(f"    {OURS} / {other}: {ratio:.2f}x requests a CPU second{bar}")
