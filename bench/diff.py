"""`pinfeather diff` of two documents of 1,000 routes, and of a log of 1,000,000 lines; CPU time and peak memory of the whole process."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROUTES = 1_000
LINES = 1_000_000


def diff() -> None:
    """Few edits, and none in common; then the log, and a tenth of it: memory must not follow."""
    with tempfile.TemporaryDirectory() as folder:
        before, few, other = (Path(folder, name) for name in ("before.yaml", "few.yaml", "other.yaml"))
        before.write_text(_document("a"), "utf-8")
        few.write_text(_document("a", frozenset((5, 500, 900))), "utf-8")
        other.write_text(_document("b"), "utf-8")
        whole, tenth = Path(folder, "access.log"), Path(folder, "tenth.log")
        with whole.open("w") as full, tenth.open("w") as part:
            for number, line in enumerate(_lines()):
                full.write(line)
                if number < LINES // 10:
                    part.write(line)
        for name, words in {
            f"{ROUTES:,} routes, 3 edited": [before, few],
            f"{ROUTES:,} routes, none in common": [before, other],
            f"a log of {LINES // 10:,} lines, {ROUTES:,} routes, 3 edited": [before, few, "--replay", tenth],
            f"a log of {LINES:,} lines, {ROUTES:,} routes, 3 edited": [before, few, "--replay", whole],
        }.items():
            seconds, memory, said = _measured([str(word) for word in words])
            print(f"  {name}: {seconds:.1f} s CPU, {memory:.0f} MB; {said}")


def _measured(words: list[str]) -> tuple[float, float, str]:
    """CPU seconds, megabytes at most, and the first line that is printed."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen([sys.executable, "-m", "pinfeather", "diff", *words], stdout=output)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 1, process.returncode
        output.seek(0)
        said = output.readline().decode("utf-8").strip()
    unit = 1024 if sys.platform == "linux" else 1024 * 1024  # ru_maxrss: kilobytes, on macOS bytes
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit, said.rpartition("/")[2]


def _document(word: str, edited: frozenset[int] = frozenset()) -> str:
    rows, services = [], []
    for n in range(ROUTES):
        weight = 70 if n in edited else 90
        rows.append(
            f"  - {{name: r{n}, hosts: [h{n // 4}-{word}.example.com], path: {{prefix: /p{n}}}, entry_points: [websecure], "
            f"canaries: [{{when: {{cookie: {{name: canary, value: v2}}}}, to: s{n}b}}], "
            f"split: [{{to: s{n}a, weight: {weight}}}, {{to: s{n}b, weight: {100 - weight}}}], sticky: {{cookie: {{name: variant{n}}}}}}}"
        )
        for letter, third in (("a", 1), ("b", 2)):
            url = f"http://10.{n // 250}.{third}.{n % 250 + 1}:8080"
            services.append(f'  s{n}{letter}: {{servers: [{{url: "{url}"}}], sticky: {{cookie: {{name: srv{n}{letter}}}}}}}')
    return "\n".join(["pinfeather: v1", "entry_points: {web: 80, websecure: 443}", "routes:", *rows, "services:", *services]) + "\n"


def _lines() -> Iterator[str]:
    """As Traefik's JSON, every path another one, one in fifty a tester."""
    drawn = random.Random(1)  # noqa: S311 - made up, and the same each time
    for number in range(LINES):
        n = drawn.randrange(ROUTES)
        line = {
            "ClientHost": f"10.{drawn.randrange(20)}.{drawn.randrange(250)}.{drawn.randrange(20)}",
            "RequestAddr": f"h{n // 4}-a.example.com", "RequestMethod": "GET", "RequestPath": f"/p{n}/{drawn.randrange(100000)}?q={number}",
            "RequestScheme": "https", "entryPointName": "websecure", "request_User-Agent": "curl/7.8", "DownstreamStatus": 200,
            "request_Cookie": "canary=v2" if number % 50 == 0 else "a=b", "Duration": 401684, "RouterName": f"r{n}@file",
        }  # fmt: skip
        yield json.dumps(line) + "\n"
