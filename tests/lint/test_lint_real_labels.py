"""What lint says of labels and of Kubernetes objects happens on a real Traefik; labels come from a stand-in of the Docker API."""

from __future__ import annotations

from pathlib import Path

import pytest

from pinfeather.model.diagnostics import Severity
from pinfeather.translators import docker_labels, ingressroute
from pinfeather.translators._syntax import yaml
from pinfeather.translators.contract import AnyTranslator, File, Source
from tests.lint.conftest import Lint
from tests.parts.docker import Container, DockerApi
from tests.parts.fixtures import StartTraefik
from tests.parts.kubernetes import ApiError, KubernetesApi
from tests.parts.servers import Servers

TUTORIAL = Path(__file__).resolve().parents[1] / "seeds" / "compose-tutorial" / "docker-compose.yml"


def errors(text: str, translator: AnyTranslator, name: str) -> set[str]:
    """The codes of what a reader takes for an error."""
    found = translator.parse(Source((File(name, text),)), translator.options()).diagnostics
    return {str(finding.code) for finding in found if finding.severity is Severity.ERROR}


def labels_of(text: str) -> dict[str, dict[str, str]]:
    """The labels of each service of a compose file whose labels are lists."""
    tree = yaml.read(text, "c.yml", yaml.GO_YAML_V3)[0].value
    assert isinstance(tree, dict)
    services = tree["services"]
    assert isinstance(services, dict)
    found: dict[str, dict[str, str]] = {}
    for name, service in services.items():
        labels = service.get("labels") if isinstance(service, dict) else None
        if isinstance(labels, list):
            found[name] = dict(str(label).split("=", 1) for label in labels)
    return found


def run(docker: DockerApi, servers: Servers, labels: dict[str, dict[str, str]]) -> None:
    """A container for each, on a server of its name; the port in its labels is replaced by the server's."""
    containers = {}
    for name, own in labels.items():
        address, _, port = servers.at(name).partition(":")
        containers[name] = Container({k: port if k.endswith("server.port") else v for k, v in own.items()}, address, (int(port),))
    docker.run(containers)


def test_the_sticky_middleware_drops_its_containers_and_the_fix_brings_them_back(
    docker: DockerApi, servers: Servers, traefik: StartTraefik, lint: Lint, here: Path
) -> None:
    """`lint.sticky-middleware`: the seed as it stands routes nothing; as it is fixed it is what its prose describes."""
    bystander = {"traefik.http.routers.other.rule": "Host(`other.test`)", "traefik.http.services.other.loadbalancer.server.port": "80"}
    text = TUTORIAL.read_text("utf-8")
    assert "lint.sticky-middleware" in errors(text, docker_labels.TRANSLATOR, "c.yml")
    run(docker, servers, {**labels_of(text), "other": bystander})
    running = traefik({}, arguments=docker.arguments())
    docker.in_force(running)
    assert list(running.items("routers", "docker")) == ["other"]
    assert running.request(host="whoami.localhost").status == 404
    assert running.request(host="other.test").all("X-Server") == ["other"]

    Path("docker-compose.yml").write_text(text)
    lint("--fix", "docker-compose.yml")
    run(docker, servers, {**labels_of(Path("docker-compose.yml").read_text()), "other": bystander})
    docker.in_force(running)
    assert sorted(running.items("routers", "docker")) == ["other", "whoami"]
    service = running.items("services", "docker")["whoami"]
    assert len(service["loadBalancer"]["servers"]) == 2  # type: ignore[index,call-overload,arg-type]
    drawn = {running.request(host="whoami.localhost").all("X-Server")[0] for _ in range(6)}
    assert drawn == {"whoami", "whoami-replica"}
    (cookie,) = running.request(host="whoami.localhost").all("Set-Cookie")
    assert cookie.startswith("my_app_session=")
    assert all(part in cookie for part in ("Max-Age=3600", "HttpOnly", "Secure", "SameSite=Lax"))
    kept = [("Cookie", cookie.partition(";")[0])]
    assert len({running.request(host="whoami.localhost", headers=kept).all("X-Server")[0] for _ in range(6)}) == 1


SHOP = {"traefik.http.routers.shop.rule": "Host(`shop.test`)", "traefik.http.services.shop.loadbalancer.server.port": "80"}
REJECTED = {
    "a key that nobody knows": {"traefik.http.routers.shop.entrypoint": "web"},
    "a list of servers": {"traefik.http.services.shop.loadbalancer.servers[0].url": "http://a"},
    "a number that is none": {"traefik.http.services.shop.loadbalancer.sticky.cookie.maxage": "1h"},
    "a weighted service": {"traefik.http.services.w.weighted.services[0].name": "shop"},
    "a URL and a port": {"traefik.http.services.shop.loadbalancer.server.url": "http://127.0.0.1:1"},
    "another root": {"Traefik.http.routers.shop.priority": "1"},
}


@pytest.mark.parametrize("case", REJECTED)
def test_a_label_that_traefik_refuses_takes_all_of_the_container_along(
    case: str, docker: DockerApi, servers: Servers, traefik: StartTraefik
) -> None:
    """`lint.labels-rejected`."""
    labels = {**SHOP, **REJECTED[case]}
    text = "services:\n  shop:\n    labels:\n" + "".join(f'      - "{key}={value}"\n' for key, value in labels.items())
    found = errors(text, docker_labels.TRANSLATOR, "c.yml")
    run(docker, servers, {"shop": labels})
    running = traefik({}, arguments=docker.arguments())
    docker.in_force(running)
    assert running.request(host="shop.test").status == 404
    assert found == {"lint.labels-rejected"}
    run(docker, servers, {"shop": SHOP})
    docker.in_force(running)
    assert running.request(host="shop.test").status == 200


# Kubernetes ------------------------------------------------------------------------------------------------------------

OBJECTS = """\
apiVersion: {group}/v1alpha1
kind: IngressRoute
metadata: {{name: shop, namespace: default{more}}}
spec:
  routes:
    - match: Host(`shop.test`)
      kind: Rule
      services: [{{name: noop@internal, kind: TraefikService}}]
"""


def test_the_old_api_group_is_not_looked_at(kubernetes: KubernetesApi, traefik: StartTraefik) -> None:
    """`lint.old-api-group`."""
    old, new = (OBJECTS.format(group=group, more="") for group in ("traefik.containo.us", "traefik.io"))
    assert "lint.old-api-group" in errors(old, ingressroute.TRANSLATOR, "o.yaml")
    running = traefik({}, arguments=kubernetes.arguments("kubernetescrd"))
    for text, status in ((old, 404), (new, 418)):
        kubernetes.apply(text)
        kubernetes.in_force(running)
        assert running.request(host="shop.test").status == status


def test_annotations_in_the_singular_are_no_field(kubernetes: KubernetesApi) -> None:
    """`lint.annotation-singular`: checked strictly, the API server refuses it; else it drops it."""
    text = OBJECTS.format(group="traefik.io", more=", annotation: {a: b}")
    assert "lint.annotation-singular" in errors(text, ingressroute.TRANSLATOR, "o.yaml")
    with pytest.raises(ApiError, match="annotation"):
        kubernetes.apply(text)
