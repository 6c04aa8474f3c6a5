"""What compose would start of a compose file: its containers with their labels, as a Docker daemon tells them.

Written for the few forms that the corpus has, with PyYAML and not with our own reader, so that the two can be compared.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

ENVIRONMENT = {
    "DOMAIN": "example.com",
    "PHOTOS_HOST": "photos.example.com",
    "IMMICH_PORT": "3001",
    "ENTRYPOINT": "",
    "RESOLVER": "le",
    "CERT_RESOLVER": "",
}
"""What the shell has when compose is asked."""
EXPOSED = 80
"""The port that an image exposes, where the file says nothing of ports."""
_COMPOSE = "com.docker.compose"
_VARIABLE = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>\w+)(?P<kind>:?[-?])?(?P<word>[^}]*)\}|(?P<bare>[A-Za-z_]\w*))")


@dataclass
class Container:
    """A container: the name of its service in the compose file, its labels, and its address."""

    name: str
    labels: dict[str, str]
    address: str = ""
    network: str = "default"
    exposed: tuple[int, ...] = field(default=(EXPOSED,))


def expand(text: str) -> str:
    """`${X}`, `${X:-d}`, `${X-d}`, `${X:?e}`, `$X` and `$$`, as compose has them."""

    def value(found: re.Match[str]) -> str:
        if found["dollar"]:
            return "$"
        known, kind = ENVIRONMENT.get(found["name"] or found["bare"]), found["kind"] or ""
        missing = not known if kind.startswith(":") else known is None
        return found["word"] if missing and kind.endswith("-") else known or ""

    return _VARIABLE.sub(value, text)


def _labels(held: object) -> dict[str, str]:
    if isinstance(held, Mapping):
        return {str(key): _text(value) for key, value in held.items()}
    found: dict[str, str] = {}
    for each in held if isinstance(held, list) else ():
        key, _, value = str(each).partition("=")
        found[key] = value  # the last one counts
    return found


def _text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def of_compose(texts: list[str], project: str) -> list[Container]:
    """The containers of several files, later ones over earlier ones; labels of `deploy` stand for those of a Swarm service."""
    project = yaml.safe_load(texts[0]).get("name", project)
    labels: dict[str, dict[str, str]] = {}
    ports: dict[str, tuple[int, ...]] = {}
    for text in texts:
        for name, service in yaml.safe_load(text)["services"].items():
            held = {**_labels(service.get("labels")), **_labels((service.get("deploy") or {}).get("labels"))}
            ports[name] = (*ports.get(name, ()), *_ports(service))
            labels.setdefault(name, {}).update({expand(key): expand(value) for key, value in held.items()})
    own = {name: {**held, f"{_COMPOSE}.project": project, f"{_COMPOSE}.service": name} for name, held in labels.items()}
    return [Container(name, held, exposed=tuple(sorted(ports[name])) or (EXPOSED,)) for name, held in own.items()]


def _ports(service: Mapping[str, list[object]]) -> list[int]:
    """The ports of the container that are written: below `expose`, and on the right below `ports`."""
    written = [str(each).rpartition(":")[2] for each in (*service.get("expose", ()), *service.get("ports", ()))]
    return [int(each.partition("/")[0]) for each in written if not each.endswith("/udp")]


def of_inspect(text: str) -> list[Container]:
    return [Container(each["Name"].lstrip("/"), each["Config"]["Labels"]) for each in json.loads(text)]


def of_run(text: str) -> list[Container]:
    words = shlex.split(text, comments=True)
    options = {word: words[at + 1] for at, word in enumerate(words) if word == "--name"}
    labels = _labels([words[at + 1] for at, word in enumerate(words) if word in ("-l", "--label")])
    return [Container(options.get("--name", "run"), labels)]


def of_plain(text: str) -> list[Container]:
    return [Container("plain", _labels([line for line in text.splitlines() if line and not line.startswith("#")]))]


def containers(path: Path) -> list[Container]:
    """The containers of an entry, each with an address of its own on the network that its labels name."""
    files = sorted(path.glob("*.yaml"), key=lambda each: len(each.name)) if path.is_dir() else [path]
    texts = [each.read_text("utf-8-sig") for each in files]
    readers = {".sh": of_run, ".txt": of_plain}
    if path.suffix in readers:
        found = readers[path.suffix](texts[0])
    else:
        found = (
            of_inspect(texts[0])
            if texts[0].lstrip().startswith("[")
            else of_compose(texts, path.name if path.is_dir() else path.parent.name)
        )
    return placed(found)


def placed(found: list[Container]) -> list[Container]:
    """The same, each with an address."""
    for number, each in enumerate(found, 2):
        each.address = f"10.77.0.{number}"
        each.network = each.labels.get("traefik.docker.network", "default")
    return found


def urls(found: list[Container], name: str | None, port: int | None, scheme: str | None) -> Iterator[str]:
    """What Traefik makes of a server that is a container: its address, on the port of the label or the first one exposed."""
    for each in found:
        if name in (None, each.name):
            where = f"{each.address}:{port or each.exposed[0]}"
            yield where if scheme == "tcp" else f"{scheme or 'http'}://{where}"
