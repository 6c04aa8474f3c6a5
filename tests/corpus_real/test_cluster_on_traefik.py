"""The IngressRoutes and Ingresses of the corpus in a real API server, on a real Traefik."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
import yaml

from pinfeather.model.services import Server, TcpServer
from pinfeather.testing.traefik import Traefik
from tests.corpus_real import cluster
from tests.corpus_real.comparing import AS_DEFAULT, POINTS, compare
from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import ApiError, KubernetesApi
from tests.test_corpus import CORPUS, INDEX, Entry, param, taken

PROVIDERS = {"ingressroute": ("kubernetescrd", "kubernetescrd"), "ingress": ("kubernetesingress", "kubernetes")}
"""The option and the name of the provider that reads a format."""
TO_THE_LETTER: dict[str, dict[str, bool]] = {"ingress": {"spec_tls": False}}
"""Options with which a reader that would otherwise see what people mean sees what Traefik does."""
OBJECTS = [param(entry) for entry in INDEX if entry.format in PROVIDERS]
Instances = dict[tuple[str | None, ...], Traefik]


@pytest.fixture(scope="module")
def instances() -> Instances:
    """Those that run already, by provider, version and ingress class."""
    return {}


@pytest.mark.parametrize("entry", OBJECTS)
def test_it_is_read_as_traefik_reads_it(kubernetes: KubernetesApi, start_traefik: StartTraefik, instances: Instances, entry: Entry) -> None:
    option, provider = PROVIDERS[entry.format]
    version = "2.11" if entry.options.get("traefik") == "2.11" else None
    given = {"ingressClass": str(entry.options["ingress_class"])} if "ingress_class" in entry.options else {}
    key = (option, version, *given.values())
    if key not in instances:
        instances[key] = start_traefik(
            {}, POINTS, (*kubernetes.arguments(option, **given), *(AS_DEFAULT if version is None else ())), version
        )
    running = instances[key]
    try:
        held = cluster.completed(cluster.objects(CORPUS / entry.path))
    except yaml.YAMLError:
        assert entry.errors, "PyYAML cannot read it, and we do"
        return
    if (refusal := refused(kubernetes, held)) is not None:
        assert entry.errors, f"Kubernetes refuses what we read without an error: {refusal}"
        return
    if given:
        running.until(lambda raw: any(name.endswith(f"@{provider}") for name in raw.get("routers") or ()), "a router of its class")
    else:
        kubernetes.in_force(running, option)

    def address(server: Server | TcpServer) -> Iterable[str]:
        ref = server.kubernetes
        assert ref is not None, server
        scheme = "tcp" if isinstance(server, TcpServer) else ref.scheme
        return cluster.urls(held, str(ref.namespace or "default"), str(ref.service), ref.port, scheme)

    compare(taken(entry, **TO_THE_LETTER.get(entry.format, {})), running.rawdata(), provider, address, v2=version is not None)


def refused(kubernetes: KubernetesApi, held: list[cluster.Object]) -> str | None:
    """Why the server will not have these objects; None: it has them, of two of one name the later."""
    for each in held:
        try:
            kubernetes.apply(yaml.safe_dump(each))
        except ApiError as why:
            return f"{each['kind']} {each['metadata']}: {why}"
    return None
