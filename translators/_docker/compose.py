"""Compose files as far as labels go, and several of them merged as `docker compose -f a.yml -f b.yml` merges them.

After the compose specification (05-services.md, 13-merge.md): labels are a list or a mapping and are merged by key, ports and
`expose` are added up, a later file wins. Keys of a service that are about something else are counted and named once a file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pinfeather.model.diagnostics import Code, Diagnostic, Path, Span, info, nearest, warning
from pinfeather.translators._docker.containers import (
    Container,
    Yard,
    container_ports,
    filled_text,
    keyed_label,
    label_of,
    normalised,
)
from pinfeather.translators._syntax.labels import VARIABLE, Label, last_of_each
from pinfeather.translators._syntax.paerser import scalar_text
from pinfeather.translators._syntax.tree import Reading, Spot, Tree, span_of_spot

_TOP = frozenset(("version", "name", "services", "networks", "volumes", "configs", "secrets", "include", "models"))
_KEYS = frozenset(
    """
    _ annotations attach blkio_config build cap_add cap_drop cgroup cgroup_parent command configs container_name cpu_count cpu_percent
    cpu_period cpu_quota cpu_rt_period cpu_rt_runtime cpu_shares cpus cpuset credential_spec depends_on deploy develop
    device_cgroup_rules devices dns dns_opt dns_search domainname entrypoint env_file environment expose extends external_links
    extra_hosts gpus group_add healthcheck hostname image init ipc isolation label_file labels links logging mac_address mem_limit
    mem_reservation mem_swappiness memswap_limit models network_mode networks oom_kill_disable oom_score_adj pid pids_limit platform
    ports post_start pre_stop privileged profiles provider pull_policy read_only restart runtime scale secrets security_opt shm_size
    stdin_open stop_grace_period stop_signal storage_opt sysctls tmpfs tty ulimits use_api_socket user userns_mode uts volumes
    volumes_from working_dir
    """.split()  # noqa: SIM905 - a list of a hundred words
)
_SERVICE_NAME = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")


def _folder_of(file: str) -> str:
    """The last folder of a path; compose calls a project by it."""
    return file.replace("\\", "/").rpartition("/")[0].rpartition("/")[2]


def is_service_name(text: str) -> bool:
    """Whether compose takes a text for the name of a service."""
    return 0 < len(text) <= 253 and _SERVICE_NAME.issuperset(text)


@dataclass
class _Service:
    """One service as it has come together so far."""

    spot: Spot
    labels: dict[str, Label] = field(default_factory=dict)
    deployed: dict[str, Label] = field(default_factory=dict)
    ports: list[int] = field(default_factory=list)
    says_ports: bool = False


class ComposeFiles:
    """Gathers files; `finish` hands the containers over."""

    def __init__(self, yard: Yard) -> None:
        self._yard = yard
        self._services: dict[str, _Service] = {}
        self._project = yard.project
        self._folder = ""

    def add(self, reading: Reading) -> None:
        """One file. What compose would refuse is reported at its line."""
        if reading.value is None and reading.broken:
            return
        tree = reading.value
        if not isinstance(tree, dict):
            self._yard.say(Code.VALUE, "a compose file is a mapping with the key `services`", reading.spans[()])
            return
        self._folder = self._folder or _folder_of(reading.file)
        self._top(tree, reading)
        services = tree.get("services")
        if services is None:
            if "services" not in tree:
                said = "this is no compose file, no `docker inspect`, no `docker run`, no list of labels and no file of Traefik's"
                self._yard.say(Code.FORMAT, said, reading.spans[()], "a compose file has the key `services`")
            return
        if not isinstance(services, dict):
            self._yard.say(Code.VALUE, "`services` is a mapping of names to services", reading.spans[("services",)])
            return
        others: dict[str, Spot] = {}
        for name, service in services.items():
            if service is None:
                continue
            spot: Spot = (reading, ("services", name), True)
            if not isinstance(service, dict):
                self._yard.say(Code.VALUE, f"the service {name!r} is a mapping", span_of_spot(spot))
            elif not is_service_name(name):
                said = f"{name!r} is no name of a service: compose refuses it"
                self._yard.say(Code.VALUE, said, span_of_spot(spot), "use ASCII letters, digits, '.', '_' and '-'")
            else:
                self._service(name, service, spot, reading)
                others.update(_others(name, service, reading))
        if others:
            keys = sorted({name.partition(".")[2] for name in others})
            said = f"not routing, left alone: {len(others)} settings of services ({', '.join(keys[:8])}{'…' if len(keys) > 8 else ''})"
            self._yard.found.append(info(Code.SCOPE, said, span=span_of_spot(next(iter(others.values())))))

    def _top(self, tree: Mapping[str, Tree], reading: Reading) -> None:
        known: list[str] = []
        for key in tree:
            if key in _TOP or key.startswith("x-"):
                known += [key] if key not in ("services", "version", "name") else []
                continue
            self._unknown(key, reading.key_spans.get((key,)), _TOP)
        if known:
            named = ", ".join(map(repr, known))
            self._yard.found.append(info(Code.SCOPE, f"not routing, left alone: {named}", span=reading.key_spans.get((known[0],))))
        if isinstance(name := tree.get("name"), str) and not self._yard.project:
            filled = filled_text(name, reading.spans[("name",)], self._yard)
            self._project = self._yard.variables.by_default(filled)

    def _unknown(self, key: str, span: Span | None, known: frozenset[str]) -> None:
        guess = nearest(key, known)
        hint = f"did you mean {guess!r}?" if guess else "take it out, or begin it with `x-`"
        self._yard.found.append(warning(Code.UNKNOWN, f"compose knows no key {key!r} here and refuses the file", span=span, instead=hint))

    def _service(self, name: str, tree: dict[str, Tree], spot: Spot, reading: Reading) -> None:
        service = self._services.setdefault(name, _Service(spot))
        at: Path = ("services", name)
        for key in tree:
            if key not in _KEYS and not key.startswith("x-"):
                self._unknown(key, reading.key_spans.get((*at, key)), _KEYS)
        for key in ("extends", "label_file"):
            if key in tree:
                said = f"`{key}` is not followed: labels that stand there are not read"
                place = reading.key_spans.get((*at, key))
                self._yard.found.append(warning(Code.ASSUMED, said, span=place, instead="give what `docker compose config` prints"))
        if "labels" in tree:
            service.labels |= self._labels(tree["labels"], (*at, "labels"), reading)
        deploy = tree.get("deploy")
        if isinstance(deploy, dict):
            service.deployed |= self._labels(deploy.get("labels"), (*at, "deploy", "labels"), reading)
        for key in ("expose", "ports"):
            if isinstance(given := tree.get(key), list):
                service.says_ports = True
                service.ports += _ports(given, self._yard)

    def _labels(self, value: Tree, at: Path, reading: Reading) -> dict[str, Label]:
        """The labels of a list or a mapping; of those that stand twice in a list the last."""
        labels: list[Label] = []
        if isinstance(value, dict):
            for key, text in value.items():
                if (label := keyed_label(key, text, reading, (*at, key), self._yard, interpolate=True)) is not None:
                    labels.append(label)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                spot: Spot = (reading, (*at, index), False)
                if type(item) is str and "$" not in item and VARIABLE[0] not in item:  # as most are
                    key, _, text = item.partition("=")
                    labels.append(Label(key, text, spot))
                elif isinstance(item, str):
                    labels.append(label_of(item, spot, self._yard, interpolate=True))
                else:
                    said = "a label in a list is a text, `key=value`"
                    self._yard.say(Code.VALUE, said, span_of_spot(spot), "put it in quotes")
        elif value is not None:
            self._yard.say(Code.VALUE, f"`{at[-1]}` is a list of texts or a mapping", reading.spans[at])
        alone = {label.key: label for label in labels}
        if len(alone) == len(labels):
            return alone
        kept, lost = last_of_each(labels)
        self._yard.found += [twice(first, last) for first, last in lost]
        return kept

    def finish(self) -> None:
        project = self._project or self._folder
        for name, service in self._services.items():
            mine, other = (service.deployed, service.labels) if self._yard.swarm else (service.labels, service.deployed)
            own = f"{project}-{name}" if self._yard.swarm else f"{name}-{project}"
            title = normalised(own) if project else ""
            ports = tuple(sorted(set(service.ports))) if service.ports else None
            self._yard.containers.append(Container(name, title, tuple(mine.values()), ports, service.spot, tuple(other.values())))


def twice(first: Label, last: Label) -> Diagnostic:
    """That a label stands twice, and which one wins."""
    one, other = span_of_spot(first.spot), span_of_spot(last.spot)
    where = f"line {one.line}" if one.file == other.file else f"{one.file}, line {one.line}"
    said = f"the label {last.key!r} stands twice: this one wins, the one of {where} ({first.value!r}) is lost"
    return warning(Code.LABEL_TWICE, said, span=other, instead="keep one")


def _others(name: str, tree: Mapping[str, Tree], reading: Reading) -> Iterator[tuple[str, Spot]]:
    for key in tree:
        if key in _KEYS and key not in ("labels", "ports", "expose", "extends", "label_file"):
            yield f"{name}.{key}", (reading, ("services", name, key), True)


def _ports(given: list[Tree], yard: Yard) -> Iterator[int]:
    for item in given:
        target = item.get("target") if isinstance(item, dict) else item
        text = scalar_text(target) or ""
        yield from container_ports(yard.variables.by_default(yard.variables.filled(text)[0]))
