"""What a change does to users, in words and in numbers: the same facts for a preview, a pull request and a policy."""

from __future__ import annotations

import json
import time
from fractions import Fraction

import pytest
from pydantic import JsonValue

from pinfeather.deploy.traffic import Target, Traffic, first, traffic
from pinfeather.model.document import Document

Tree = dict[str, JsonValue]
USERS = "anna:$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC"
V1: Tree = {"servers": [{"url": "http://10.0.1.1:8080"}, {"url": "http://10.0.1.2:8080"}]}
V2: Tree = {"servers": [{"url": "http://10.0.2.1:8080"}, {"url": "http://10.0.2.2:8080"}]}


def document(*routes: Tree, **more: JsonValue) -> Document:
    return Document.model_validate_json(json.dumps({"services": {"v1": V1, "v2": V2}, **more, "routes": list(routes)}))


def shop(weight: int = 10, **more: JsonValue) -> Tree:
    """`weight` of 100 go to v2, and whoever was sent somewhere stays there."""
    split: list[JsonValue] = [{"to": "v1", "weight": 100 - weight}, {"to": "v2", "weight": weight}]
    return {"name": "shop", "hosts": ["shop.example.com"], "split": split, "sticky": {"cookie": {"name": "variant"}}, **more}


def plain_route(name: str, *hosts: str, **more: JsonValue) -> Tree:
    return {"name": name, "hosts": list(hosts), "to": "v1", **more}


def change(before: Document, after: Document, format_name: str = "") -> Traffic:
    return traffic(Target(before, format_name), Target(after, format_name))


def lines(before: Document, after: Document, format_name: str = "") -> list[str]:
    return list(change(before, after, format_name).lines())


def test_a_weight_from_10_to_30_is_one_sentence() -> None:
    found = change(document(shop(10)), document(shop(30)))
    said = "20 % of new clients go to v2, and no longer to v1: http://shop.example.com/; pinned clients stay where they are."
    assert list(found.lines()) == [said]
    assert (found.moved, found.pins_lost) == (Fraction(1, 5), Fraction(0))
    assert found.pins_kept
    assert not found.wider
    assert not found.grave


@pytest.mark.parametrize("format_name", ["", "traefik-file", "ingressroute", "a-format-that-there-is-not"])
def test_no_change_and_a_renamed_route_of_one_service(format_name: str) -> None:
    routes = document(plain_route("shop", "shop.example.com")), document(plain_route("store", "shop.example.com"))
    assert lines(routes[0], routes[0], format_name) == ["No request goes elsewhere."]
    assert lines(*routes, format_name) == ["No request goes elsewhere."]


def test_a_host_that_is_gone() -> None:
    both = plain_route("shop", "shop.example.com", "old.example.com")
    found = change(document(both), document(plain_route("shop", "shop.example.com")))
    assert list(found.lines()) == ["Refused now: http://old.example.com/; nobody is pinned there."]
    assert found.grave
    assert found.moved == 1


def test_basic_auth_that_is_gone() -> None:
    middlewares: Tree = {"users": {"basic_auth": {"users": [USERS]}}}
    guarded = document(plain_route("admin", "a.example", middlewares=["users"]), middlewares=middlewares)
    found = change(guarded, document(plain_route("admin", "a.example")))
    said = "Let in without basic_auth, which was asked for before: http://a.example/; nobody is pinned there."
    assert list(found.lines()) == [said]
    assert found.grave
    assert found.wider == ("let in without basic_auth, which was asked for before: http://a.example/",)
    back = change(document(plain_route("admin", "a.example")), guarded)
    assert (back.grave, back.wider) == (False, ())
    assert "$2y$" not in found.json() + found.markdown() + back.json() + back.markdown()


def test_a_cookie_with_another_name_loses_all_its_clients() -> None:
    found = change(document(shop()), document(shop(sticky={"cookie": {"name": "other"}})))
    assert list(found.lines()) == [
        "Given other cookies: http://shop.example.com/; pinned clients: all are drawn anew.",
        "  the cookie variant of the route shop: its clients are drawn anew, as no cookie is called 'variant' any more",
    ]
    assert (found.moved, found.pins_lost) == (Fraction(0), Fraction(1))
    assert not found.pins_kept


def test_pins_that_are_lost_are_counted_by_the_weights_that_gave_them() -> None:
    """Who was sent to v1 stays; the tenth who was sent to v2 is drawn anew."""
    split: list[JsonValue] = [{"to": "v1", "weight": 90}, {"to": "v3", "weight": 10}]
    services: Tree = {"v1": V1, "v3": {"servers": [{"url": "http://10.0.3.1:8080"}]}}
    found = change(document(shop()), document(shop(split=split), services=services))
    assert (found.moved, found.pins_lost, found.pins_kept) == (Fraction(1, 10), Fraction(1, 10), False)
    assert "pinned clients: 90 % stay, 10 % are drawn anew" in found.sentence()


def test_pins_of_a_variant_that_gets_no_new_clients_are_pins() -> None:
    split: list[JsonValue] = [{"to": "v1", "weight": 1}]
    found = change(document(shop(0, weight_zero="keep")), document(shop(split=split, weight_zero="keep")))
    assert found.moved == 0
    assert not found.pins_kept
    assert "v2" in found.pools[0].lost


def test_a_server_that_is_gone_takes_its_clients_with_it() -> None:
    servers: list[JsonValue] = [{"url": f"http://10.0.1.{number}:8080"} for number in (1, 2, 3, 4)]
    sticky: Tree = {"cookie": {"name": "srv"}}
    four, three = (
        document(plain_route("a", "a.example"), services={"v1": {"servers": row, "sticky": sticky}}) for row in (servers, servers[:3])
    )
    found = change(four, three)
    assert (found.moved, found.pins_lost) == (Fraction(1, 4), Fraction(1, 4))


def test_the_values_of_the_format_decide_who_stays() -> None:
    """To a document of ours a variant that does the same is the same; Traefik's cookie is made of its name."""
    renamed: list[JsonValue] = [{"to": "v1", "weight": 90}, {"to": "new", "weight": 10}]
    before, after = document(shop()), document(shop(split=renamed), services={"v1": V1, "new": V2})
    assert change(before, after).pins_lost == 0
    with_values = change(before, after, "traefik-file")
    assert with_values.pins_lost == Fraction(1, 10)
    assert "the value of the cookie changes" in "\n".join(with_values.lines())


@pytest.mark.parametrize("losses", [(), ("loss.x at services.v2.servers.0: gone",)])
def test_a_document_that_the_format_cannot_say_whole_is_compared_all_the_same(losses: tuple[str, ...]) -> None:
    """An EndpointSlice cannot name a host: objects of a cluster cannot say these servers, and there is no cookie value of them."""
    named: Tree = {name: {"servers": [{"url": f"http://{name}.internal"}]} for name in ("v1", "v2")}
    before, after = (Target(document(shop(weight), services=named), "ingressroute", losses=losses) for weight in (10, 30))
    assert traffic(before, after).moved == Fraction(1, 5)


def test_losses_and_deletions() -> None:
    same = document(shop())
    old = Target(
        same, losses=("loss.a at x: gone", "loss.b at y: gone"), objects=tuple(f"Middleware shop/m{number}" for number in range(8))
    )
    found = traffic(old, Target(same, losses=("loss.b at y: gone", "loss.c at z: gone"), objects=("Middleware shop/m7",)))
    assert list(found.lines()) == [
        "No request goes elsewhere.",
        "  new loss: loss.c at z: gone",
        "  no longer lost: loss.a at x: gone",
        "  deleted: Middleware shop/m0, Middleware shop/m1, Middleware shop/m2, Middleware shop/m3, Middleware shop/m4 and 2 more",
    ]
    assert len(found.deleted) == 7


def test_what_an_old_state_did_not_write_down_is_no_new_loss() -> None:
    same = document(shop())
    found = traffic(Target(same), Target(same, losses=("loss.a at x: gone",), objects=("file shop.yml",)))
    assert (found.new_losses, found.deleted) == ((), ())


@pytest.mark.parametrize("broken", ["before", "after"])
def test_a_document_that_cannot_be_compared_says_so_and_the_rest_is_compared(broken: str) -> None:
    whole, objects = document(shop()), ("a", "b")
    unread = Target(None, objects=objects)
    pair = (unread, Target(whole, objects=("b",))) if broken == "before" else (Target(whole, objects=objects), Target(None, objects=("b",)))
    found = traffic(*pair)
    assert found.found is None
    said = "What changes for users cannot be said: what is deployed was written by another version of Pinfeather."
    assert list(found.lines()) == [said, "  deleted: a"]
    assert json.loads(found.json())["diff"] is None
    assert found.markdown().startswith("**What changes")


def test_a_template_says_which() -> None:
    template = document(plain_route("shop", "shop.example.com"), services={"v1": {"servers": [{"url": {"template": "${URL}"}}]}})
    (said,) = lines(document(plain_route("shop", "shop.example.com")), template)
    assert said.startswith("What changes for users cannot be said: ")
    assert "'${URL}'" in said


def test_hostile_names_stay_on_their_line() -> None:
    name = "x\nMALICE\x1b[2J\u202e"
    loss = Target(document(shop()), losses=("a",)), Target(document(shop()), losses=("a", name), objects=(name,))
    found = traffic(*loss)
    gone = traffic(loss[1], loss[0])
    for said in (*found.lines(), *gone.lines(), *found.markdown().splitlines(), *gone.markdown().splitlines()):
        assert said.isprintable(), said
        assert not said.startswith("MALICE")
    assert json.loads(found.json())["new_losses"] == [name]


def test_markdown_makes_nothing_of_names() -> None:
    found = traffic(Target(document(shop()), losses=("a",)), Target(document(shop(30)), losses=("a", "<img> @all [x](y) `z`")))
    text = found.markdown()
    assert "**20 % of new clients go to v2" in text
    assert "<img>" not in text
    assert "@all" not in text


def test_at_most_eleven_lines_whatever_changes() -> None:
    routes = [plain_route(f"r{number}", f"h{number}.example") for number in range(30)]
    one = Target(document(*routes), losses=tuple(f"old {n}" for n in range(30)), objects=tuple(f"o{n}" for n in range(30)))
    two = Target(document(*({**each, "to": "v2"} for each in routes)), losses=tuple(f"new {n}" for n in range(30)))
    said = list(traffic(one, two).lines())
    assert len(said) == 11
    assert said[-1] == (
        "  and more: 24 classes of requests, 29 new losses, 29 losses that are gone; `pinfeather plan --report json` says all"
    )
    assert len(traffic(one, two).markdown()) < 65_000


def test_json_has_stable_keys() -> None:
    tree = json.loads(change(document(shop(10)), document(shop(30))).json())
    keys = ["sentence", "moved", "pins_lost", "pins_kept", "wider", "new_losses", "lost_losses", "deleted", "why", "diff"]
    assert list(tree) == keys
    assert (tree["moved"], tree["diff"]["classes"][0]["moved"]) == ("1/5", "1/5")


def test_a_regex_is_tried_only_and_that_is_said() -> None:
    one, other = (document(plain_route("a", "a.example", path={"regex": regex})) for regex in ("^/a+$", "^/aa*$"))
    said = lines(one, other)
    assert said[0] == "No request that was tried goes elsewhere."
    assert said[1] == "  tried by examples only, which proves nothing of the rest: ^/a+$, ^/aa*$"


@pytest.mark.parametrize(
    ("routes", "said"),
    [
        ([plain_route("a", "a.example")], "1 route for a.example: new here."),
        ([plain_route("a")], "1 route for every host: new here."),
        (
            [plain_route(f"r{n}", f"h{n}.example") for n in range(7)],
            "7 routes for h0.example, h1.example, h2.example, h3.example, h4.example and 2 more: new here.",
        ),
    ],
)
def test_the_first_time(routes: list[Tree], said: str) -> None:
    assert first(Target(document(*routes))) == said


# TCP --------------------------------------------------------------------------------------------------------------------------


def database(*middlewares: str, address: str = "10.0.0.1:5432", sni: str = "db.example") -> Document:
    route = {"name": "db", "sni": [sni], "to": "db", "entry_points": ["db"], "middlewares": list(middlewares)}
    lists = {"inside": {"ip_allow_list": {"source_ranges": ["10.0.0.0/8"]}}}
    tree = {"tcp_routes": [route], "tcp_services": {"db": {"servers": [{"address": address}]}}, "tcp_middlewares": lists}
    return Document.model_validate_json(json.dumps(tree))


def test_tcp_connections_that_move_are_counted() -> None:
    found = change(database(), database(address="10.0.0.2:5432"))
    assert found.moved == 1
    assert found.sentence() == "Some TCP connections change; pinned clients stay where they are."
    assert not found.wider


def test_tcp_without_its_address_list_is_wider() -> None:
    found = change(database("inside"), database())
    assert len(found.wider) == 1
    assert found.grave
    assert found.moved == 0
    assert change(database(), database("inside")).wider == ()


def test_a_tcp_route_for_a_new_name_is_new_traffic() -> None:
    two = json.loads(database().model_dump_json(exclude_defaults=True))
    two["tcp_routes"].append({**two["tcp_routes"][0], "name": "other", "sni": ["other.example"]})
    both = Document.model_validate_json(json.dumps(two))
    assert change(database(), both).wider == ()
    every = database(sni="*")
    assert change(database(), every).wider
    gone = change(both, database())
    assert gone.grave


# How long ---------------------------------------------------------------------------------------------------------------------


def test_one_weight_of_1000_routes() -> None:
    def many(weight: int) -> Document:
        services: Tree = {
            f"{letter}{n}": {"servers": [{"kubernetes": {"service": f"{letter}{n}", "port": 80}}]} for n in range(1000) for letter in "ab"
        }
        routes = []
        for n in range(1000):
            share = weight if n == 7 else 10
            split: list[JsonValue] = [{"to": f"a{n}", "weight": 100 - share}, {"to": f"b{n}", "weight": share}]
            routes.append(shop(name=f"r{n}", hosts=[f"h{n}.example"], split=split, sticky={"cookie": {"name": f"variant{n}"}}))
        return document(*routes, services=services)

    before, after = many(10), many(30)
    start = time.process_time()
    found = change(before, after, "ingressroute")
    assert time.process_time() - start < 5  # seconds of the processor; 1.5 measured
    assert found.moved == Fraction(1, 5)
    assert len(list(found.lines())) == 1


def test_300_new_hosts_beside_1000() -> None:
    routes = [plain_route(f"r{n}", f"h{n}.example") for n in range(1300)]
    before, after = document(*routes[:1000]), document(*routes)
    start = time.process_time()
    found = change(before, after)
    assert (len(found.classes), found.wider) == (300, ())
    assert time.process_time() - start < 5  # seconds of the processor
