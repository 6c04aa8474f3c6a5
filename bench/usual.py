"""The usual program, as anybody would write it: IngressRoutes and TraefikServices to Docker labels, stage by stage.

PyYAML's C loader and dumper, plain dicts, a small recursive-descent parser of rules, pydantic, no positions, no losses, nothing
read back. It is the baseline of the figure `convert`; its CPU time and memory are what ours are held against.

    python -m bench.usual routes.yaml > labels.yaml
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict

_TOKEN = re.compile(r"\s*(&&|\|\||!|\(|\)|,|[A-Za-z]+|`[^`]*`|\"(?:\\.|[^\"\\])*\")")


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


class Matcher(Strict):
    name: str
    arguments: list[str]


class Cookie(Strict):
    name: str
    secure: bool = False
    http_only: bool = False
    same_site: str | None = None
    max_age: int = 0


class Child(Strict):
    service: str
    port: int
    weight: int = 1


class Route(Strict):
    name: str
    rule: str
    matchers: list[Matcher]
    priority: int
    entry_points: list[str]
    children: list[Child]
    cookie: Cookie | None = None


def tokens_of(rule: str) -> list[str]:
    tokens: list[str] = []
    at = 0
    while at < len(rule):
        found = _TOKEN.match(rule, at)
        if found is None:
            raise ValueError(rule)
        tokens.append(found[1])
        at = found.end()
    return tokens


def matchers(rule: str) -> list[dict[str, Any]]:
    """Every matcher of a rule. Raises ValueError for what is none."""
    tokens = tokens_of(rule)
    made: list[dict[str, Any]] = []

    def either(index: int) -> int:
        index = both(index)
        while index < len(tokens) and tokens[index] == "||":
            index = both(index + 1)
        return index

    def both(index: int) -> int:
        index = one(index)
        while index < len(tokens) and tokens[index] == "&&":
            index = one(index + 1)
        return index

    def one(index: int) -> int:
        if tokens[index] == "!":
            return one(index + 1)
        if tokens[index] == "(":
            return either(index + 1) + 1
        name, arguments, index = tokens[index], [], index + 2
        while tokens[index] != ")":
            if tokens[index] != ",":
                arguments.append(tokens[index][1:-1])
            index += 1
        made.append({"name": name, "arguments": arguments})
        return index + 1

    if either(0) != len(tokens):
        raise ValueError(rule)
    return made


def main(path: str) -> None:
    documents = list(yaml.load_all(Path(path).read_bytes(), Loader=yaml.CSafeLoader))
    splits = {each["metadata"]["name"]: each["spec"]["weighted"] for each in documents if each["kind"] == "TraefikService"}
    plain = []
    for each in documents:
        if each["kind"] != "IngressRoute":
            continue
        for number, route in enumerate(each["spec"]["routes"]):
            (service,) = route["services"]
            split = splits[service["name"]] if service.get("kind") == "TraefikService" else {"services": [service]}
            cookie = split.get("sticky", {}).get("cookie")
            plain.append(
                {
                    "name": f"{each['metadata']['name']}-{number}",
                    "rule": route["match"],
                    "matchers": matchers(route["match"]),
                    "priority": route.get("priority", 0),
                    "entry_points": each["spec"]["entryPoints"],
                    "children": [{"service": s["name"], "port": s["port"], "weight": s.get("weight", 1)} for s in split["services"]],
                    "cookie": cookie
                    and {
                        "name": cookie["name"],
                        "secure": cookie.get("secure", False),
                        "http_only": cookie.get("httpOnly", False),
                        "same_site": cookie.get("sameSite"),
                        "max_age": cookie.get("maxAge", 0),
                    },
                }
            )
    routes = [Route.model_validate(each) for each in plain]
    services: dict[str, Any] = {}
    weighted: dict[str, Any] = {}
    for route in routes:
        labels = [
            f"traefik.http.routers.{route.name}.rule={route.rule}",
            f"traefik.http.routers.{route.name}.priority={route.priority}",
            f"traefik.http.routers.{route.name}.entrypoints={','.join(route.entry_points)}",
        ]
        if len(route.children) > 1 and route.cookie is not None:
            labels.append(f"traefik.http.routers.{route.name}.service={route.name}@file")
            weighted[route.name] = {
                "weighted": {
                    "services": [{"name": f"{child.service}@docker", "weight": child.weight} for child in route.children],
                    "sticky": {
                        "cookie": {
                            "name": route.cookie.name,
                            "secure": route.cookie.secure,
                            "httpOnly": route.cookie.http_only,
                            "sameSite": route.cookie.same_site,
                            "maxAge": route.cookie.max_age,
                        }
                    },
                }
            }
        else:
            labels.append(f"traefik.http.routers.{route.name}.service={route.children[0].service}")
        for child in route.children:
            held = services.setdefault(child.service, {"labels": ["traefik.enable=true"]})["labels"]
            held.append(f"traefik.http.services.{child.service}.loadbalancer.server.port={child.port}")
        services[route.children[0].service]["labels"] += labels
    yaml.dump({"services": services}, sys.stdout, Dumper=yaml.CSafeDumper, sort_keys=False)
    print("---")
    yaml.dump({"http": {"services": weighted}}, sys.stdout, Dumper=yaml.CSafeDumper, sort_keys=False)


if __name__ == "__main__":
    main(sys.argv[1])
