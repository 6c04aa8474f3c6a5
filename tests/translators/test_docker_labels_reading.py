"""`docker-labels`: what is read of compose files, `docker inspect`, command lines and lines, as Traefik would."""

from __future__ import annotations

import json
from textwrap import dedent

import pytest

from pinfeather.model.diagnostics import Code, Severity, dotted
from pinfeather.model.document import Document
from pinfeather.model.noun import Template
from pinfeather.model.routes import Route
from pinfeather.model.services import ContainerRef, LoadBalancer
from pinfeather.translators.contract import File, Parsed, Source
from pinfeather.translators.docker_labels import TRANSLATOR, DockerLabels


def read(*texts: str, **options: object) -> Parsed:
    """Several files, `0.yml`, `1.yml` …"""
    files = tuple(File(f"shop/{number}.yml", dedent(text)) for number, text in enumerate(texts))
    return TRANSLATOR.parse(Source(files), DockerLabels.model_validate(options))


def compose(*labels: str, name: str = "web", further: str = "") -> str:
    lines = "".join(f"      - '{label.replace(chr(39), chr(39) * 2)}'\n" for label in labels)
    return f"services:\n  {name}:\n    image: x\n{further}    labels:\n{lines}"


def sound(parsed: Parsed) -> Document:
    assert [finding for finding in parsed.diagnostics if finding.severity is Severity.ERROR] == []
    assert parsed.document is not None
    return parsed.document


def said(parsed: Parsed, severity: Severity = Severity.ERROR) -> list[str]:
    return [str(finding.code) for finding in parsed.diagnostics if finding.severity is severity]


def balancer(document: Document, name: str) -> LoadBalancer:
    service = document.services[name]
    assert isinstance(service, LoadBalancer)
    return service


def refs(document: Document, name: str) -> list[ContainerRef | None]:
    return [server.container for server in balancer(document, name).servers]


ROUTE = "traefik.http.routers.r.rule=Host(`a.io`)"
PORT = "traefik.http.services.s.loadbalancer.server.port=80"
SHOP = """\
    services:
      web:
        image: x
        labels: {labels}
    """
FORMS = {
    "list": '["traefik.http.routers.r.rule=Host(`a.io`)", "traefik.http.services.s.loadbalancer.server.port=80"]',
    "map": '{"traefik.http.routers.r.rule": "Host(`a.io`)", "traefik.http.services.s.loadbalancer.server.port": 80}',
    "cases": '["traefik.HTTP.Routers.r.RULE=Host(`a.io`)", "traefik.http.services.s.LoadBalancer.Server.Port=80"]',
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_are_a_list_or_a_mapping_in_any_case(form: str) -> None:
    made = sound(read(SHOP.format(labels=FORMS[form])))
    assert [(route.name, route.hosts, route.to) for route in made.routes] == [("r", ("a.io",), "s")]
    assert refs(made, "s") == [ContainerRef(name="web", port=80)]


def test_all_ways_to_write_a_container_down_say_the_same() -> None:
    wanted = [("r", ("a.io",), "s", [ContainerRef(name="web", port=80)])]
    inspected = json.dumps(
        [
            {
                "Name": "/web",
                "State": {"Running": True},
                "Config": {"Labels": {k: v for k, _, v in (each.partition("=") for each in (ROUTE, PORT))}},
            }
        ],
        indent=4,
    )
    config = json.dumps(
        {"name": "p", "services": {"web": {"labels": {k: v for k, _, v in (each.partition("=") for each in (ROUTE, PORT))}}}}
    )
    run = (
        'sudo docker run -d --rm \\\n  --label "traefik.http.routers.r.rule=Host(\\`a.io\\`)" \\\n  -l '
        + PORT
        + " --name web -p 8080:80 nginx --label x=y\n"
    )
    for text in (compose(ROUTE, PORT), inspected, config, run):
        made = sound(read(text))
        assert [(route.name, route.hosts, route.to, refs(made, str(route.to))) for route in made.routes] == wanted
    made = sound(read(f"# labels\n{ROUTE}\n\n{PORT}\n"))
    assert refs(made, "s") == [ContainerRef(port=80)]


def test_anchors_and_merge_keys() -> None:
    made = sound(
        read(
            """\
            x-labels: &common
              traefik.enable: "true"
              traefik.http.services.s.loadbalancer.server.port: "80"
            services:
              one:
                labels: {<<: *common, traefik.http.routers.r.rule: Host(`a.io`)}
              two:
                labels: &two
                  <<: *common
                  traefik.http.routers.r.rule: Host(`a.io`)
            """
        )
    )
    assert [ref.name for ref in refs(made, "s") if ref is not None] == ["one", "two"]


def test_files_are_merged_as_compose_merges_them() -> None:
    base = compose(ROUTE, PORT, "traefik.http.routers.r.priority=3")
    override = "services:\n  web:\n    labels: {traefik.http.routers.r.priority: 7}\n    expose: [81]\n"
    parsed = read(base, override)
    made = sound(parsed)
    assert [route.priority for route in made.routes] == [7]
    assert Code.LABEL_TWICE not in said(parsed, Severity.WARNING)
    span = parsed.spans[("routes", 0, "priority")]
    assert (span.file, span.line) == ("shop/1.yml", 3)
    assert parsed.spans[("routes", 0, "match")].file == "shop/0.yml"


def test_the_last_of_two_labels_wins_and_both_are_named() -> None:
    parsed = read(compose(ROUTE, PORT, "traefik.http.routers.r.priority=3", "traefik.http.routers.r.priority=7"))
    assert [route.priority for route in sound(parsed).routes] == [7]
    (finding,) = [each for each in parsed.diagnostics if each.code == Code.LABEL_TWICE]
    assert "line 7" in finding.message
    assert finding.span is not None
    assert finding.span.line == 8


def test_case_makes_no_second_name_in_one_container() -> None:
    parsed = read(compose(ROUTE, PORT, "traefik.http.routers.R.priority=7"))
    assert [(route.name, route.priority) for route in sound(parsed).routes] == [("R", 7)]


# Variables -------------------------------------------------------------------------------------------------------------

VARIABLES = compose(
    "traefik.http.routers.${APP:-shop}.rule=Host(`${DOMAIN}`) && PathRegexp(`^/a$$`)",
    "traefik.http.routers.${APP:-shop}.service=${APP:-shop}",
    "traefik.http.routers.${APP:-shop}.entrypoints=${EP:-web}",
    "traefik.http.services.${APP:-shop}.loadbalancer.server.port=${PORT:-80}",
)


def test_a_variable_without_a_value_stays() -> None:
    (route,) = sound(read(VARIABLES)).routes
    assert (route.name, route.to, route.hosts, route.entry_points) == ("shop", "shop", (Template("${DOMAIN}"),), ("web",))
    assert route.path is not None
    assert route.path.regex == "^/a$"
    assert refs(sound(read(VARIABLES)), "shop") == [ContainerRef(name="web", port=Template("${PORT:-80}"))]
    assert said(read(VARIABLES), Severity.INFO).count(Code.UNEXPANDED) == 3


def test_a_variable_with_a_value_is_replaced() -> None:
    made = sound(read(VARIABLES, env="# values\nexport APP=store\nDOMAIN='a.io'\nPORT=81 # the port\nEP="))
    (route,) = made.routes
    assert (route.name, route.hosts, route.entry_points) == ("store", ("a.io",), ("web",))
    assert refs(made, "store") == [ContainerRef(name="web", port=81)]


def test_dollars_are_doubled_in_compose_alone() -> None:
    users = "traefik.http.middlewares.m.basicauth.users=a:$apr1$x"
    run = f"docker run --label '{users}' --label '{PORT}' --label '{ROUTE}' --name web x\n"
    for text in (compose(ROUTE, PORT, users.replace("$", "$$")), run, f"{users}\n{ROUTE}\n{PORT}\n"):
        auth = sound(read(text)).middlewares["m"].basic_auth
        assert auth is not None
        assert auth.users == ("a:$apr1$x",)


# What Traefik fills in -------------------------------------------------------------------------------------------------


def test_a_router_without_a_service_goes_to_the_only_one() -> None:
    assert [route.to for route in sound(read(compose(ROUTE, PORT))).routes] == ["s"]
    parsed = read(compose(ROUTE, PORT, PORT.replace("s.load", "t.load")))
    (finding,) = [each for each in parsed.diagnostics if each.severity is Severity.ERROR]
    assert "names no service" in finding.message
    assert parsed.document is not None
    assert parsed.document.routes == ()


DEFAULTS: dict[str, tuple[str, dict[str, object], list[str]]] = {
    "Traefik's own": (compose(PORT), {}, ["Host(`web-shop`)"]),
    "the project of an option": (compose(PORT), {"project": "my_proj"}, ["Host(`web-my-proj`)"]),
    "the name in the file": (f"name: st\n{compose(PORT)}", {}, ["Host(`web-st`)"]),
    "another": (compose(PORT), {"default_rule": "Host(`{{ .ContainerName }}.a.io`)"}, ["Host(`web.a.io`)"]),
    "of a label": (compose(PORT, "domain=b.io"), {"default_rule": 'Host(`{{ index .Labels "domain" }}`)'}, ["Host(`b.io`)"]),
    "no router, two services": (compose(PORT, PORT.replace("s.load", "t.load")), {}, []),
    "no service either": (compose("traefik.enable=true"), {}, ["Host(`web-shop`)"]),
}


@pytest.mark.parametrize("case", DEFAULTS)
def test_the_default_rule(case: str) -> None:
    text, options, wanted = DEFAULTS[case]
    made = sound(read(text, **options))
    assert [f"Host(`{route.hosts[0]}`)" for route in made.routes] == wanted


def test_a_default_rule_that_is_a_program_is_not_run() -> None:
    parsed = read(compose(PORT), default_rule="Host(`{{ env `X` }}`)")
    assert said(parsed) == [Code.RULE]
    assert "not run here" in parsed.diagnostics[-1].message or any("not run here" in each.message for each in parsed.diagnostics)


PORTS: dict[str, tuple[str, int | None, bool]] = {
    "exposed": ("    expose: ['8080', 3000]\n", 3000, True),
    "published": ("    ports: ['80:8080', {target: 9000}, '53:53/udp', '${P:-1}:7000']\n", 7000, True),
    "in the image": ("", None, True),
}


@pytest.mark.parametrize("case", PORTS)
def test_the_port_is_the_lowest_that_is_exposed(case: str) -> None:
    further, port, assumed = PORTS[case]
    parsed = read(compose(ROUTE, "traefik.http.services.s.loadbalancer.passhostheader=true", further=further))
    assert refs(sound(parsed), "s") == [ContainerRef(name="web", port=port)]
    assert (Code.ASSUMED in said(parsed, Severity.INFO)) is assumed


def test_containers_that_traefik_passes_over() -> None:
    for labels, options in (([ROUTE, PORT, "traefik.enable=false"], {}), ([ROUTE, PORT], {"exposed_by_default": False})):
        parsed = read(compose(*labels), **options)
        assert sound(parsed).routes == ()
        assert Code.LABELS_IGNORED in said(parsed, Severity.WARNING)
    assert len(sound(read(compose(ROUTE, PORT, "traefik.enable=true"), exposed_by_default=False)).routes) == 1


def test_switches() -> None:
    """`tls=1` and `sticky.cookie=false` are no, `sticky=true` is nothing; as observed on Traefik 3.7.15."""
    for value, on in (("true", True), ("TRUE", True), ("1", False), ("yes", False), ("", True), ("false", False)):
        made = sound(read(compose(ROUTE, PORT, f"traefik.http.routers.r.tls={value}")))
        assert (made.routes[0].tls is not None) is on, value
    cookie = "traefik.http.services.s.loadbalancer.sticky"
    assert balancer(sound(read(compose(ROUTE, PORT, f"{cookie}.cookie=true"))), "s").sticky is not None
    assert balancer(sound(read(compose(ROUTE, PORT, f"{cookie}.cookie=false", f"{cookie}.cookie.name=x"))), "s").sticky is None
    parsed = read(compose(ROUTE, PORT, f"{cookie}=true"))
    assert balancer(sound(parsed), "s").sticky is None
    assert Code.STICKY_EMPTY in said(parsed, Severity.WARNING)


def test_domains_are_in_the_order_of_their_texts() -> None:
    labels = [f"traefik.http.routers.r.tls.domains[{at}].main=d{at}" for at in (10, 2, 1)]
    tls = sound(read(compose(ROUTE, PORT, *labels))).routes[0].tls
    assert tls is not None
    assert [domain.main for domain in tls.domains] == ["d10", "d1", "d2"] or [domain.main for domain in tls.domains] == ["d1", "d10", "d2"]


def test_a_server_by_url_is_no_container() -> None:
    made = sound(read(compose(ROUTE, "traefik.http.services.s.loadbalancer.server.url=http://10.0.0.1:8080")))
    assert [server.url for server in balancer(made, "s").servers] == ["http://10.0.0.1:8080"]


def test_tcp() -> None:
    made = sound(
        read(
            compose(
                "traefik.tcp.routers.t.rule=HostSNI(`db.io`)",
                "traefik.tcp.routers.t.tls.passthrough=true",
                "traefik.tcp.services.t.loadbalancer.server.port=5432",
                "traefik.tcp.services.t.loadbalancer.proxyprotocol.version=1",
            )
        )
    )
    (route,) = made.tcp_routes
    assert (route.sni, route.to) == (("db.io",), "t")
    assert made.routes == ()
    service = made.tcp_services["t"]
    assert service.model_dump(exclude_none=True) == {"servers": ({"container": {"name": "web", "port": 5432}},), "proxy_protocol": 1}


def test_a_swarm_has_its_labels_below_deploy() -> None:
    text = f"services:\n  web:\n    deploy: {{labels: ['{ROUTE}', '{PORT}']}}\n"
    assert [route.name for route in sound(read(text, swarm=True)).routes] == ["r"]
    parsed = read(text)
    assert sound(parsed).routes == ()
    assert Code.LABELS_IGNORED in said(parsed, Severity.WARNING)
    assert said(read(text.replace(f", '{PORT}'", ""), swarm=True)) == [Code.LABELS_REJECTED]


# Several containers ----------------------------------------------------------------------------------------------------


def two(first: list[str], second: list[str]) -> str:
    return compose(*first, name="one") + compose(*second, name="two").removeprefix("services:\n")


def test_alike_labels_are_one_service() -> None:
    made = sound(read(two([ROUTE, PORT], [ROUTE, PORT.replace("80", "81")])))
    assert [route.name for route in made.routes] == ["r"]
    assert refs(made, "s") == [ContainerRef(name="one", port=80), ContainerRef(name="two", port=81)]


@pytest.mark.parametrize(
    ("label", "what"),
    [
        ("traefik.http.services.s.loadbalancer.sticky.cookie.name=x", "service"),
        ("traefik.http.routers.r.priority=3", "router"),
    ],
)
def test_labels_that_differ_delete_both(label: str, what: str) -> None:
    parsed = read(two([ROUTE, PORT], [ROUTE, PORT, label]))
    (finding,) = [each for each in parsed.diagnostics if each.severity is Severity.ERROR]
    assert finding.code == Code.NAME_CLASH
    assert f"the {what} " in finding.message
    assert "line 6" in finding.message or "line 5" in finding.message
    assert finding.span is not None
    assert finding.span.line > 9
    assert parsed.document is not None
    assert parsed.document.routes == ()


# With files ------------------------------------------------------------------------------------------------------------

BESIDE = """\
    http:
      routers:
        far: {rule: "Host(`far.io`)", service: s@docker, middlewares: [m, n@docker]}
      services:
        split: {weighted: {services: [{name: s@docker, weight: 3}, {name: away}]}}
        away: {loadBalancer: {servers: [{url: "http://10.0.0.1"}]}}
      middlewares:
        m: {compress: {}}
    """


def test_labels_and_files_name_each_other() -> None:
    labels = [
        ROUTE,
        PORT,
        "traefik.http.routers.r.service=split@file",
        "traefik.http.routers.r.middlewares=m@file,m",
        "traefik.http.middlewares.m.addprefix.prefix=/x",
    ]
    parsed = read(compose(*labels, "traefik.http.middlewares.n.compress=true"), BESIDE)
    made = sound(parsed)
    routes: dict[str, Route] = {route.name: route for route in made.routes}
    assert (routes["r"].to, routes["r"].middlewares) == ("split", ("m-file", "m"))
    assert (routes["far"].to, routes["far"].middlewares) == ("s", ("m-file", "n"))
    assert [entry.to for entry in made.services["split"].split] == ["s", "away"]  # type: ignore[union-attr]
    assert any("'m-file'" in finding.message for finding in parsed.diagnostics)


def test_a_name_that_the_other_provider_has_is_not_meant() -> None:
    parsed = read(compose(ROUTE, PORT, "traefik.http.routers.r.middlewares=m"), BESIDE.replace(", n@docker", ""))
    (finding,) = [each for each in parsed.diagnostics if each.severity is Severity.ERROR]
    assert finding.code == Code.REFERENCE
    assert "no middleware 'm' of the provider 'docker'" in finding.message
    assert "m@file" in finding.instead


def test_what_is_in_no_file_of_the_run_stays_external() -> None:
    made = sound(read(compose(ROUTE, PORT, "traefik.http.routers.r.middlewares=m@file,n@docker")))
    assert made.routes[0].middlewares == ("m@file", "n@docker")


# The rest --------------------------------------------------------------------------------------------------------------


def test_other_parts_are_named_and_left_alone() -> None:
    text = compose(ROUTE, PORT, "com.example.x=1", further="    restart: always\n") + "  db: {image: postgres}\nnetworks: {web: {}}\n"
    parsed = read(text)
    sound(parsed)
    assert said(parsed, Severity.WARNING) == []
    told = " ".join(finding.message for finding in parsed.diagnostics if finding.code == Code.SCOPE)
    assert all(word in told for word in ("image", "restart", "'networks'", "com", "db"))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("traefik.frontend.rule=Host:a.io", "Traefik 1"),
        ("traefik.htp.routers.r.rule=x", "does not look at"),
    ],
)
def test_labels_that_traefik_does_not_look_at(label: str, words: str) -> None:
    parsed = read(compose(ROUTE, PORT, label))
    sound(parsed)
    (finding,) = [each for each in parsed.diagnostics if each.severity is Severity.WARNING]
    assert finding.code == Code.LABELS_IGNORED
    assert words in finding.message


def test_every_kind_of_middleware_travels() -> None:
    made = sound(
        read(
            compose(
                ROUTE,
                PORT,
                "traefik.http.middlewares.h.headers.stsseconds=31536000",
                "traefik.http.middlewares.h.headers.accesscontrolallowmethods=GET, OPTIONS",
                "traefik.http.middlewares.h.headers.customrequestheaders.X-A=b",
                "traefik.http.middlewares.p.plugin.Mine.List.Key=a,b",
                "traefik.http.middlewares.r.ratelimit.period=60",
                "traefik.http.middlewares.r.ratelimit.average=5",
                "traefik.http.middlewares.e.errors.status=500-599",
                "traefik.http.middlewares.e.errors.service=s@docker",
            )
        )
    )
    assert made.middlewares["h"].other is not None
    assert made.middlewares["h"].other.config == {
        "accessControlAllowMethods": ["GET", "OPTIONS"],
        "customRequestHeaders": {"X-A": "b"},
        "stsSeconds": 31536000,
    }
    assert made.middlewares["p"].other is not None
    assert made.middlewares["p"].other.config == {"Mine": {"List": {"Key": "a,b"}}}
    assert made.middlewares["r"].rate_limit is not None
    assert made.middlewares["r"].rate_limit.period == "60s"


def test_spans_are_those_of_whole_labels() -> None:
    parsed = read(compose(ROUTE, PORT, "traefik.http.services.s.loadbalancer.sticky.cookie.name=x"))
    for path in (("services", "s", "sticky", "cookie", "name"), ("services", "s", "sticky"), ("services", "s", "sticky", "cookie")):
        span = parsed.spans[path]
        assert (span.line, span.column, span.end_column) == (7, 9, 68), dotted(path)
    mapped = read("services:\n  web:\n    labels:\n      traefik.http.services.s.loadbalancer.sticky.cookie.name: x\n")
    assert mapped.spans[("services", "s", "sticky", "cookie", "name")].column == 64
