"""`make bench`: each figure as a ratio to a baseline of the same run, or as a time of one call. Medians of interleaved rounds.

Processes are compared by their CPU time (user and system, of the process alone), which other work on the machine moves less
than the time on the wall.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from bench import diff, large, latency, proxies, stack, stacks, table

ROOT = Path(__file__).resolve().parents[1]
BASELINE = "import yaml; from pydantic import BaseModel\nclass A(BaseModel):\n    a: int\nA(a=1)"
ONE_ROUTE = """pinfeather: v1
routes:
  - name: shop
    hosts: [shop.example.com]
    canaries: [{when: {cookie: {name: canary, value: v2}}, to: shop-v2}]
    split: [{to: shop-v1, weight: 90}, {to: shop-v2, weight: 10}]
    sticky: {cookie: {name: shop_variant, max_age: 86400, secure: true, http_only: true, same_site: lax}}
services:
  shop-v1: {servers: [{url: "http://10.0.1.10:8080"}]}
  shop-v2: {servers: [{url: "http://10.0.1.20:8080"}]}
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("only", nargs="*", choices=[[], *FIGURES], help="the figures to measure (default: all)")
    chosen = parser.parse_args().only or list(FIGURES)
    for name in chosen:
        print(f"\n{name}")
        FIGURES[name]()
    return 0


def start_up() -> None:
    """How long the command takes before it does anything, from an installed wheel (a checkout may compile at each run)."""
    with tempfile.TemporaryDirectory() as folder:
        python = _installed(Path(folder))
        command = [str(python.with_name("pinfeather"))]
        document = Path(folder, "one.yaml")
        document.write_text(ONE_ROUTE, encoding="utf-8")
        convert = [*command, "convert", str(document), "--from", "pinfeather", "--to", "traefik-file"]
        rows: dict[str, Sequence[str]] = {
            "python -c pass": [str(python), "-c", "pass"],
            "pinfeather --help": [*command, "--help"],
            "python -c 'import yaml; one pydantic model'": [str(python), "-c", BASELINE],
            "pinfeather convert, one route": convert,
        }
        times = _interleaved(rows, rounds=21)
    _ratio(times, "pinfeather --help", "python -c pass", 2.0)
    _ratio(times, "pinfeather convert, one route", "python -c 'import yaml; one pydantic model'", 1.4)


def _installed(folder: Path) -> Path:
    """A venv with nothing but our wheel and what it needs. Returns its Python."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder / "dist", ROOT], check=True
    )
    wheel = next((folder / "dist").glob("*.whl"))
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--compile", wheel], check=True)
    return python


def _interleaved(rows: dict[str, Sequence[str]], rounds: int) -> dict[str, float]:
    """CPU seconds of each command: the median of as many rounds, in which the commands take turns."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    samples: dict[str, list[float]] = {name: [] for name in rows}
    for round_ in range(rounds + 1):
        for name, command in rows.items():
            before = _children()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
            if round_:  # the first one compiles and warms the disk
                samples[name].append(_children() - before)
    return {name: statistics.median(values) for name, values in samples.items()}


def _children() -> float:
    """CPU seconds of all children so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _ratio(times: dict[str, float], what: str, baseline: str, bar: float) -> None:
    ratio = times[what] / times[baseline]
    verdict = "holds" if ratio <= bar else "MISSED"
    print(f"  {what}: {times[what] * 1000:.0f} ms CPU, {ratio:.2f}x of {baseline} ({times[baseline] * 1000:.0f} ms); bar {bar}x: {verdict}")


def decisions() -> None:
    """One look-up and one decision on a prepared table of 10,000 routes."""
    look_up, decide = table.prepared(10_000)
    _per_call("look-up among 10,000 routes", look_up, 5.0)
    _per_call("decide among 10,000 routes", decide, 10.0)


def _per_call(name: str, call: Callable[[int], object], bar: float, calls: int = 20_000) -> None:
    rounds = []
    for _ in range(7):
        before = time.process_time()
        for number in range(calls):
            call(number)
        rounds.append((time.process_time() - before) / calls * 1e6)
    took = statistics.median(rounds)
    print(f"  {name}: {took:.2f} us CPU a call; bar {bar} us: {'holds' if took <= bar else 'MISSED'}")


FIGURES: dict[str, Callable[[], None]] = {
    "start-up": start_up,
    "decisions": decisions,
    "unchanged": stack.unchanged,
    "stacks": stacks.routes,
    "large": large.measure,
    "proxies": proxies.measure,
    "latency": latency.measure,
    "diff": diff.diff,
}

if __name__ == "__main__":
    sys.exit(main())
