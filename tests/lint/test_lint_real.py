"""What lint says happens on a real Traefik. Every finding that is an error is here, and the warnings that can be seen."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pinfeather.model.diagnostics import Diagnostic, Severity
from pinfeather.model.lint import lint
from pinfeather.testing.traefik import Traefik, TraefikError
from pinfeather.translators import traefik_file
from pinfeather.translators.contract import File, Source

Servers = Callable[[str], str]
StartTraefik = Callable[..., Traefik]


@pytest.fixture
def server() -> Iterator[Servers]:
    """`server("v1")`: the URL of a server that answers with its name."""
    running: list[tuple[ThreadingHTTPServer, threading.Thread]] = []

    def start(name: str) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *_: object) -> None:
                pass

        http = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((http, thread))
        return f"http://127.0.0.1:{http.server_port}"

    yield start
    for http, thread in running:
        http.shutdown()
        thread.join()
        http.server_close()


def said(text: str) -> dict[str, Diagnostic]:
    """What the reader and lint say of a file, by code."""
    parsed = traefik_file.parse(Source((File("dynamic.yml", text),)), traefik_file.TraefikFile())
    found = (*parsed.diagnostics, *(lint(parsed.document) if parsed.document is not None else ()))
    return {str(finding.code): finding for finding in found}


class Browser:
    """Keeps the cookies that it is given, as browsers do, and counts who answers."""

    def __init__(self, traefik: Traefik, host: str = "shop.test", cookies: dict[str, str] | None = None) -> None:
        self.traefik = traefik
        self.host = host
        self.cookies = dict(cookies or {})

    def get(self, target: str = "/") -> str:
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self.traefik.request(target, host=self.host, headers=[("Cookie", sent)] if sent else [])
        for line in answer.all("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return answer.body.decode() if answer.status == 200 else str(answer.status)


def service(name: str, *urls: str, cookie: str = "") -> str:
    servers = ", ".join(f'{{url: "{url}"}}' for url in urls)
    sticky = f", sticky: {{cookie: {cookie}}}" if cookie else ""
    return f"    {name}: {{loadBalancer: {{servers: [{servers}]{sticky}}}}}\n"


def router(name: str, rule: str, to: str, more: str = "") -> str:
    return f"    {name}: {{rule: '{rule}', service: {to}{more}}}\n"


def config(routers: str, services: str, more: str = "") -> str:
    return f"http:\n  routers:\n{routers}  services:\n{services}{more}"


SHOP = "Host(`shop.test`)"


# Errors ------------------------------------------------------------------------------------------------------------------


def test_sticky_middleware(traefik: StartTraefik, server: Servers) -> None:
    """`lint.sticky-middleware`: the file is refused as a whole, and every router in it is gone."""
    sound = config(router("shop", SHOP, "app"), service("app", server("v1")))
    bad = sound + "  middlewares:\n    pin: {sticky: {cookie: {name: srv}}}\n"
    assert said(bad)["lint.sticky-middleware"].severity is Severity.ERROR
    with pytest.raises(TraefikError, match="field not found, node: sticky"):
        traefik({"dynamic.yml": bad})
    assert Browser(traefik({"dynamic.yml": sound})).get() == "v1"


def test_same_site_none_without_secure(traefik: StartTraefik, server: Servers) -> None:
    """`lint.same-site-none`: Traefik sends what no browser keeps (RFC 6265bis, 5.7)."""
    text = config(router("shop", SHOP, "app"), service("app", server("v1"), server("v2"), cookie="{name: srv, sameSite: none}"))
    assert said(text)["lint.same-site-none"].severity is Severity.ERROR
    (sent,) = traefik({"dynamic.yml": text}).request(host="shop.test").all("Set-Cookie")
    assert "SameSite=None" in sent
    assert "Secure" not in sent


def test_one_cookie_on_two_levels(traefik: StartTraefik, server: Servers) -> None:
    """`lint.cookie-nested`: each level overwrites the other, and nobody stays; with two names everybody does."""

    def text(inner: str) -> str:
        children = "".join(service(f"v{n}", server(f"v{n}a"), server(f"v{n}b"), cookie=f"{{name: {inner}}}") for n in (1, 2))
        split = "    split: {weighted: {services: [{name: v1}, {name: v2}], sticky: {cookie: {name: pin}}}}\n"
        return config(router("shop", SHOP, "split"), split + children)

    assert said(text("pin"))["lint.cookie-nested"].severity is Severity.ERROR
    assert "lint.cookie-nested" not in said(text("srv"))
    nested, apart = (Browser(traefik({"dynamic.yml": text(inner)})) for inner in ("pin", "srv"))
    assert len({nested.get() for _ in range(8)}) > 1
    assert len({apart.get() for _ in range(8)}) == 1


OLD_RULES = [
    "Host(`shop.test`, `www.test`)",
    "Headers(`X-A`, `b`)",
    "HeadersRegexp(`X-A`, `b`)",
    "HostHeader(`shop.test`)",
    "PathPrefix(`/a`, `/b`)",
]


@pytest.mark.parametrize("rule", OLD_RULES)
def test_a_rule_of_traefik_2(rule: str, traefik: StartTraefik, server: Servers) -> None:
    """`lint.v2-syntax`: the router is disabled; as it is written anew, it is enabled."""
    found = said(config(router("shop", rule, "app"), service("app", "http://127.0.0.1:1")))["lint.v2-syntax"]
    assert found.severity is Severity.ERROR
    (edit,) = found.fixes[0].edits
    routers = router("old", rule, "app") + router("new", edit.text, "app")
    items = traefik({"dynamic.yml": config(routers, service("app", server("v1")))}).items("routers")
    assert (items["old"]["status"], items["new"]["status"]) == ("disabled", "enabled")


@pytest.mark.parametrize("rule", ["HostRegexp(`{sub:[a-z]+}.shop.test`)", "Path(`/{id:[0-9]+}`)", "Query(`k=v`)"])
def test_a_rule_of_traefik_2_that_is_taken_to_the_letter(rule: str, traefik: StartTraefik, server: Servers) -> None:
    """`lint.v2-syntax`, as a warning: the router is enabled and holds for nothing of what it means."""
    found = said(config(router("shop", rule, "app"), service("app", "http://127.0.0.1:1")))["lint.v2-syntax"]
    assert found.severity is Severity.WARNING
    (edit,) = found.fixes[0].edits
    url = server("v1")
    for written, answer in ((rule, "404"), (edit.text, "v1")):
        running = traefik({"dynamic.yml": config(router("shop", written, "app"), service("app", url))})
        assert running.items("routers")["shop"]["status"] == "enabled"
        assert Browser(running, "www.shop.test").get("/12?k=v") == answer


def test_a_variable_that_nobody_replaced(traefik: StartTraefik, server: Servers) -> None:
    """`lint.unexpanded`: the router is there, and asks for a host that no request has."""
    text = config(router("shop", "Host(`${DOMAIN}`)", "app"), service("app", server("v1")))
    assert said(text)["lint.unexpanded"].severity is Severity.ERROR
    running = traefik({"dynamic.yml": text})
    assert {Browser(running, host).get() for host in ("shop.test", "DOMAIN", "localhost")} == {"404"}


@pytest.mark.parametrize("more", ["", ", middlewares: [auth]"], ids=["service", "middleware"])
def test_a_router_that_names_what_is_missing(more: str, traefik: StartTraefik, server: Servers) -> None:
    """`input.reference`: the router is disabled, and its requests fall to the one that is named."""
    gone = router("shop", SHOP, "app" if more else "gone", more)
    rest = router("rest", "PathPrefix(`/`)", "other", ", priority: 1")
    text = config(gone + rest, service("app", server("v1")) + service("other", server("other")))
    found = said(text)["input.reference"]
    assert found.severity is Severity.ERROR
    assert found.instead.endswith(f"Traefik disables 'shop': its requests fall to 'rest'{', without ' + repr('auth') if more else ''}")
    running = traefik({"dynamic.yml": text})
    assert running.items("routers")["shop"]["status"] == "disabled"
    assert Browser(running).get() == "other"


# Warnings ----------------------------------------------------------------------------------------------------------------


def test_a_canary_of_a_lower_priority_never_wins(traefik: StartTraefik, server: Servers) -> None:
    urls = server("v1"), server("v2")
    for priority, answer in ((5, "v1"), (50, "v2")):
        canary = router("canary", SHOP + " && Header(`X-Canary`, `yes`)", "b", f", priority: {priority}")
        text = config(router("shop", SHOP, "a", ", priority: 10") + canary, service("a", urls[0]) + service("b", urls[1]))
        assert ("lint.canary-priority" in said(text)) is (answer == "v1")
        asked = traefik({"dynamic.yml": text}).request(host="shop.test", headers=[("X-Canary", "yes")])
        assert asked.body.decode() == answer


def test_a_route_that_another_one_covers_never_wins(traefik: StartTraefik, server: Servers) -> None:
    part = router("part", SHOP + " && PathPrefix(`/api`)", "b", ", priority: 5")
    text = config(router("shop", SHOP, "a", ", priority: 10") + part, service("a", server("v1")) + service("b", server("v2")))
    assert "lint.never-wins" in said(text)
    assert Browser(traefik({"dynamic.yml": text})).get("/api") == "v1"


@pytest.mark.parametrize(
    "door",
    ["basicAuth: {usersFile: /nowhere/users}", "plugin: {guard: {}}", None],
    ids=["a file of users", "a plugin", "another provider's"],
)
def test_a_door_that_cannot_be_built_lets_requests_go_round_it(door: str | None, traefik: StartTraefik, server: Servers) -> None:
    name = "door" if door else "door@docker"
    admin = router("admin", SHOP + " && PathPrefix(`/admin`)", "app", f", middlewares: [{name}]")
    services = service("app", server("v1")) + service("all", server("all"))
    text = config(admin + router("all", SHOP, "all"), services, f"  middlewares:\n    door: {{{door}}}\n" if door else "")
    found = said(text)["lint.fall-through"]
    assert (found.severity, found.path) == (Severity.WARNING if door else Severity.INFO, ("routes", 0, "middlewares"))
    assert found.message.endswith("it forgets 'admin', and 'all' takes its requests without it")
    assert Browser(traefik({"dynamic.yml": text})).get("/admin") == "all"


def test_one_cookie_on_a_canary_and_its_route_loses_the_pin(traefik: StartTraefik, server: Servers) -> None:
    """v1, then v2, then v1 again: with one name the client may come back to another server of v1; with two it does not."""
    urls = [server(f"v1-{n}") for n in range(4)], [server(f"v2-{n}") for n in range(4)]

    def text(second: str) -> str:
        canary = router("canary", SHOP + " && PathPrefix(`/v2`)", "b", ", priority: 50")
        services = service("a", *urls[0], cookie="{name: pin}") + service("b", *urls[1], cookie=f"{{name: {second}}}")
        return config(router("shop", SHOP, "a", ", priority: 10") + canary, services)

    lost: Counter[str] = Counter()
    for second in ("pin", "other"):
        assert ("lint.cookie-shared" in said(text(second))) is (second == "pin")
        running = traefik({"dynamic.yml": text(second)})
        for _ in range(12):
            browser = Browser(running)
            first = browser.get("/")
            browser.get("/v2")
            lost[second] += browser.get("/") != first
    assert lost["pin"] > 0
    assert lost["other"] == 0


def test_sticky_over_one_child_pins_nothing(traefik: StartTraefik, server: Servers) -> None:
    split = "    split: {weighted: {services: [{name: app}], sticky: {cookie: {name: pin}}}}\n"
    text = config(router("shop", SHOP, "split"), split + service("app", server("one"), server("two")))
    assert "lint.sticky-one-child" in said(text)
    browser = Browser(traefik({"dynamic.yml": text}))
    assert {browser.get() for _ in range(6)} == {"one", "two"}


def test_servers_pinned_under_a_split_that_is_not(traefik: StartTraefik, server: Servers) -> None:
    split = "    split: {weighted: {services: [{name: a}, {name: b}]}}\n"
    services = "".join(service(name, server(name), cookie=f"{{name: pin_{name}}}") for name in "ab")
    text = config(router("shop", SHOP, "split"), split + services)
    assert "lint.split-unpinned" in said(text)
    browser = Browser(traefik({"dynamic.yml": text}))
    assert {browser.get() for _ in range(8)} == {"a", "b"}


def test_sticky_without_a_cookie_does_nothing(traefik: StartTraefik, server: Servers) -> None:
    text = config(router("shop", SHOP, "app"), f"    app: {{loadBalancer: {{servers: [{{url: '{server('v1')}'}}], sticky: true}}}}\n")
    assert "lint.sticky-empty" in said(text)
    assert traefik({"dynamic.yml": text}).request(host="shop.test").all("Set-Cookie") == []


def test_a_hash_by_address_ignores_the_cookie(traefik: StartTraefik, server: Servers) -> None:
    text = config(
        router("shop", SHOP, "app"),
        f"    app: {{loadBalancer: {{strategy: hrw, servers: [{{url: '{server('v1')}'}}], sticky: {{cookie: {{name: pin}}}}}}}}\n",
    )
    assert "lint.setting-ignored" in said(text)
    assert traefik({"dynamic.yml": text}).request(host="shop.test").all("Set-Cookie") == []


def test_a_loose_cookie_regex_takes_other_cookies(traefik: StartTraefik, server: Servers) -> None:
    canary = router("canary", SHOP + " && HeaderRegexp(`Cookie`, `.*canary=v2.*`)", "b", ", priority: 50")
    text = config(router("shop", SHOP, "a", ", priority: 10") + canary, service("a", server("v1")) + service("b", server("v2")))
    assert "notcanary=v22" in said(text)["lint.cookie-regex"].message
    assert Browser(traefik({"dynamic.yml": text}), cookies={"notcanary": "v22"}).get() == "v2"


def test_a_host_regex_that_is_not_bound(traefik: StartTraefik, server: Servers) -> None:
    text = config(router("shop", r"HostRegexp(`[a-z]+\.shop\.test`)", "app"), service("app", server("v1")))
    assert "lint.v2-syntax" in said(text)
    assert Browser(traefik({"dynamic.yml": text}), "www.shop.test.evil.example").get() == "v1"


def test_a_variant_of_weight_0_loses_its_clients(traefik: StartTraefik, server: Servers) -> None:
    services = service("a", server("a")) + service("b", server("b"))

    def text(weight: int) -> str:
        split = f"    split: {{weighted: {{services: [{{name: a, weight: {weight}}}, {{name: b, weight: 1}}], sticky: {{cookie: {{name: pin}}}}}}}}\n"
        return config(router("shop", SHOP, "split"), split + services)

    assert "lint.weight-zero" in said(text(0))
    running = traefik({"dynamic.yml": text(1)})
    browser = next(each for each in (Browser(running) for _ in range(20)) if each.get() == "a")
    assert browser.get() == "a"
    running.write({"dynamic.yml": text(0)})
    assert browser.get() == "b"
