"""Real parts for tests, each started when a test first asks for it, on loopback, and ended with the test, its module or the run.

| fixture | what it is |
|---|---|
| `traefik(files, entry_points=("web",), arguments=(), version=None)` | a real Traefik; `version="3.4"` is one of `TRAEFIKS`, for the test |
| `start_traefik(…)` | the same, for all tests of the module |
| `kubernetes` | a real API server, emptied before the test, with the CRDs of Traefik (both groups) and Voyager, strictly checked |
| `kubernetes_server` | the same, once a run, not emptied |
| `docker` | a stand-in of the Docker API: containers, and a swarm's services, by their labels |
| `servers` | servers on loopback, each with a name, which it answers in `X-Server` |
| `haproxy(text, ports=("web",))` | a real HAProxy; `bind "127.0.0.1:${web}"` in its configuration |
| `network_namespace` | servers with addresses of their own, for EndpointSlices; root only (tests/parts/network_namespace.py) |
| `helm_template(files, values=(), arguments=())` | what a real Helm renders of a chart |

A Traefik on what a format wrote, and its own reading of it:

    def test_an_ingress_route(kubernetes: KubernetesApi, traefik: StartTraefik) -> None:
        kubernetes.apply(text)                       # ApiError, with the server's words, for a field that no CRD has
        running = traefik({}, arguments=kubernetes.arguments("kubernetescrd", allowExternalNameServices=True))
        kubernetes.in_force(running)                 # it has read everything; again after each `apply`
        assert running.items("routers", "kubernetescrd") == …
        assert running.request("/", host="shop.example").headers == …

    def test_labels(docker: DockerApi, servers: Servers, traefik: StartTraefik) -> None:
        address, port = servers.at("a").split(":")
        docker.run({"shop-1": Container({"traefik.http.routers.shop.rule": "Host(`shop`)"}, address, (int(port),))})
        running = traefik({}, arguments=docker.arguments())
        docker.in_force(running)
        assert running.items("services", "docker") == …

    @pytest.mark.parametrize("version", [*TRAEFIKS, None])     # None: the current one
    def test_every_version(traefik: StartTraefik, version: str | None) -> None: ...

Starting a Traefik takes half a second and `in_force` some tenths, so many documents may share one. Everything else that is waited for:
`running.until(condition on /api/rawdata, "what")`. The classes are in `kubernetes.py`, `docker.py`, `haproxy.py`, `helm.py` and `servers.py`,
the fixtures and `StartTraefik` in `fixtures.py`. A part that is not here skips the test with a reason, or fails it where
PINFEATHER_REQUIRE=all; `tools/parts.py` says where parts come from.
"""
