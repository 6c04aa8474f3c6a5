"""`RouteSet`: a change of the document is shown path by path, said in the words of traffic, and refused where the policy forbids it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc
from pydantic import JsonValue
from typing_extensions import override

from pinfeather.deploy import traffic
from pinfeather.deploy.contract import Change, Difference, RefusedError, Severity, Step, Stored
from pinfeather.deploy.policy import Policy
from pinfeather.deploy.route_set import RouteSetInputs, RouteSetOutputs, RouteSetResource
from tests.deploy.test_provider import PLUGIN, Client, first_line, refused

if TYPE_CHECKING:
    from conftest import Project

RESOURCE = RouteSetResource()
STEP = Step("urn:pulumi:dev::shop::pinfeather:index:RouteSet::shop", preview=True, say=lambda *_: None)


def diff(old: dict[str, JsonValue], new: dict[str, JsonValue]) -> Difference:
    stored = Stored(RouteSetInputs(name="shop", document=old), RouteSetOutputs())
    return RESOURCE.diff(STEP, stored, RouteSetInputs(name="shop", document=new))


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"split": [{"weight": 9}, {"weight": 1}]}, {"split": [{"weight": 8}, {"weight": 1}]}, {"document.split[0].weight": Change.UPDATE}),
        ({"a": [1]}, {"a": [1, 2]}, {"document.a[1]": Change.ADD}),
        ({"a": {"x-y": 1}}, {"a": {}}, {'document.a["x-y"]': Change.DELETE}),
        ({'q"\\': 1}, {'q"\\': 2}, {'document["q\\"\\\\"]': Change.UPDATE}),
        ({"a": [1]}, {"a": {"b": 1}}, {"document.a": Change.UPDATE}),
        ({"a": True}, {"a": 1}, {"document.a": Change.UPDATE}),
    ],
)
def test_changed_paths(old: dict[str, JsonValue], new: dict[str, JsonValue], changes: dict[str, Change]) -> None:
    assert diff(old, new) == Difference(changes)


def test_a_rewritten_document_is_one_change() -> None:
    many: dict[str, JsonValue] = {f"r{number}": 1 for number in range(200)}
    assert diff(many, {}).changes == {"document": Change.UPDATE}


def test_a_new_name_is_another_set() -> None:
    stored = Stored(RouteSetInputs(name="shop", document={}), RouteSetOutputs())
    assert RESOURCE.diff(STEP, stored, RouteSetInputs(name="store", document={})).replaces == {"name"}


# In the words of traffic --------------------------------------------------------------------------------------------------

Tree = dict[str, JsonValue]
SENTENCE = "20 % of new clients go to v2, and no longer to v1: http://shop.example/; pinned clients stay where they are."


def shop(weight: int, **more: JsonValue) -> Tree:
    split: list[JsonValue] = [{"to": "v1", "weight": 100 - weight}, {"to": "v2", "weight": weight}]
    route: Tree = {"name": "shop", "hosts": ["shop.example"], "split": split, "sticky": {"cookie": {"name": "variant"}}}
    return {"routes": [{**route, **more}], "services": {name: {"servers": [{"url": f"http://{name}.internal"}]} for name in ("v1", "v2")}}


def inputs(document: Tree, **more: object) -> RouteSetInputs:
    return RouteSetInputs.model_validate({"name": "shop", "document": document, "format": "traefik-file", **more})


def said(old: RouteSetInputs, new: RouteSetInputs) -> list[tuple[Severity, str]]:
    """What a comparison says, also when it refuses."""
    found: list[tuple[Severity, str]] = []
    step = Step(STEP.urn, preview=True, say=lambda severity, text: found.append((severity, text)))
    try:
        RESOURCE.diff(step, Stored(old, RouteSetOutputs()), new)
    except RefusedError as problem:
        found.append((Severity.WARNING, f"refused: {problem}"))
    return found


def test_a_weight_is_said_in_one_message() -> None:
    assert said(inputs(shop(10)), inputs(shop(30))) == [(Severity.INFO, SENTENCE)]


def test_equal_trees_are_not_even_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(traffic, "traffic")
    assert said(inputs(shop(10)), inputs(shop(10), policy=Policy(max_moved_share="0%"))) == []
    with pytest.raises(ImportError):
        said(inputs(shop(10)), inputs(shop(30)))


def test_who_is_let_in_or_refused_is_a_warning() -> None:
    ((severity, text),) = said(inputs(shop(10)), inputs(shop(10, hosts=["other.example"])))
    assert severity is Severity.WARNING
    assert (
        text.splitlines()[0]
        == "2 classes of requests change; at most 100 % of the new clients of one go elsewhere; some pinned clients do not stay where they are."
    )


def test_the_policy_of_the_new_program_refuses_after_everything_was_said() -> None:
    strict, loose = Policy(max_moved_share="19%", keep_pins=True), Policy(max_moved_share="20%")
    told, refusal = said(inputs(shop(10), policy=loose), inputs(shop(30), policy=strict))
    assert told == (Severity.INFO, SENTENCE)
    assert refusal[1].startswith("refused: the stack's policy refuses this change: 20 % of the new clients")
    assert said(inputs(shop(10), policy=strict), inputs(shop(30), policy=loose)) == [(Severity.INFO, SENTENCE)]
    both = said(inputs(shop(10), objects=("a", "b")), inputs(shop(30), policy=Policy(max_moved_share="1%", max_deletions=1)))
    assert len(both[1][1].splitlines()) == 2


def test_another_name_is_no_way_around_the_policy() -> None:
    told = said(inputs(shop(10)), inputs(shop(30), name="store", policy=Policy(max_moved_share="1%")))
    assert told[1][1].startswith("refused: ")


def test_what_another_version_wrote_is_said_and_does_not_stop_it() -> None:
    old = inputs({"nobody": "knows this"}, objects=("a", "b"))
    ((severity, text),) = said(old, inputs(shop(30), objects=("a", "b"), policy=Policy(never_wider=True, max_deletions=0)))
    assert severity is Severity.WARNING
    assert text.splitlines() == [
        "What changes for users cannot be said: what is deployed was written by another version of Pinfeather.",
        "  not held against all of this: the policy's never_wider",
    ]
    assert said(old, inputs(shop(30), policy=Policy(max_deletions=1)))[1][1].startswith(
        "refused: the stack's policy refuses this change: 2 "
    )


def test_a_state_without_the_new_inputs_is_read() -> None:
    old = RouteSetInputs.model_validate_json(json.dumps({"name": "shop", "document": shop(10), "format": "canonical"}))
    new = inputs(shop(30), losses=("loss.x at y: gone",), objects=("file shop.yml",), policy=Policy(no_new_losses=True))
    assert said(old, new) == [(Severity.INFO, SENTENCE)]


def test_the_first_time_is_said_in_a_preview_only() -> None:
    found: list[tuple[Severity, str]] = []

    def say(severity: Severity, text: str) -> None:
        found.append((severity, text))

    RESOURCE.create(Step(STEP.urn, preview=False, say=say), inputs(shop(10)))
    assert found == []
    RESOURCE.create(Step(STEP.urn, preview=True, say=say), inputs(shop(10)))
    assert found == [(Severity.INFO, "1 route for shop.example: new here.")]


def test_hostile_names_break_no_line() -> None:
    evil = "shop/x\nerror: MALICE\x1b[31m"
    told = said(inputs(shop(10), objects=(evil, "a")), inputs(shop(10), objects=("a",), policy=Policy(max_deletions=0)))
    lines = [line for _, text in told for line in text.splitlines()]
    assert len(lines) == 3
    assert all(line.isprintable() for line in lines)


# Over gRPC ----------------------------------------------------------------------------------------------------------------


class Log(engine_pb2_grpc.EngineServicer):
    """The part of the engine that takes messages."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str, str]] = []

    @override
    def Log(self, request: engine_pb2.LogRequest, context: object) -> empty_pb2.Empty:
        self.said.append((request.urn, engine_pb2.LogSeverity.Name(request.severity), request.message))
        return empty_pb2.Empty()


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[tuple[Client, Log]]:
    log = Log()
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        engine_pb2_grpc.add_EngineServicer_to_server(log, server)
        address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        with subprocess.Popen([PLUGIN, address], stdout=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ}) as process:
            with grpc.insecure_channel(f"127.0.0.1:{int(first_line(process))}") as channel:
                yield Client(provider_pb2_grpc.ResourceProviderStub(channel), "RouteSet"), log
            process.terminate()
        server.stop(None).wait(10)


def test_the_engine_is_told_under_the_resource_and_once(plugin: tuple[Client, Log]) -> None:
    routes, log = plugin
    old, new = ({"name": "shop", "document": shop(weight), "format": "traefik-file"} for weight in (10, 30))
    assert routes.create(old, preview=True).id == "shop"
    assert log.said == [(routes.urn, "INFO", "1 route for shop.example: new here.")]
    made = routes.create(old)
    log.said.clear()
    for _ in range(3):  # as often as the engine may ask in one run
        assert routes.diff(made.properties, new).changes == provider_pb2.DiffResponse.DIFF_SOME
    assert log.said == [(routes.urn, "INFO", SENTENCE)]
    assert routes.diff(made.properties, old).changes == provider_pb2.DiffResponse.DIFF_NONE
    assert len(log.said) == 1
    code, message = refused(lambda: routes.diff(made.properties, {**new, "policy": {"max_moved_share": 10.0}}))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert message == (
        "the stack's policy refuses this change: 20 % of the new clients of one class of requests go elsewhere, and 10% may; "
        "if it is meant: pulumi config set --path pinfeather:policy.max_moved_share 20%"
    )
    assert routes.check({**new, "policy": {"max_moved_share": "much"}}) == {
        "policy.max_moved_share": "value error, 'much' is not a share: write 25%"
    }


# The real engine ----------------------------------------------------------------------------------------------------------

PROGRAM = """
import json
from pathlib import Path
from pinfeather.deploy.components import Routes, RoutesArgs

here = Path.cwd()
want = json.loads((here / "want.json").read_text())
Routes("shop", RoutesArgs(json.dumps(want["document"]), "traefik-file", folder=str(here / "out"), policy=want["policy"]))
"""


def test_a_preview_says_it_and_a_policy_stops_up_before_anything_is_touched(project: Project) -> None:
    (project.folder / "__main__.py").write_text(PROGRAM)
    project.want = {"document": {"pinfeather": "v1", **shop(10)}, "policy": {"max_moved_share": 20}}
    assert "1 route for shop.example: new here." in project.pulumi("preview")
    project.up()
    assert "pinned" not in project.pulumi("preview", "--expect-no-changes")

    project.want["document"] = {"pinfeather": "v1", **shop(30)}
    assert project.pulumi("preview").partition("Diagnostics:")[2].count(SENTENCE) == 1  # the display has it in the resource's row too
    printed = project.pulumi("preview", "--json")
    preview = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
    (told,) = [each for each in preview["diagnostics"] if SENTENCE in each["message"]]
    assert (told["urn"].rpartition("$")[2], told["severity"]) == ("pinfeather:index:RouteSet::shop", "info")

    def written() -> dict[str, bytes]:
        return {each.name: each.read_bytes() for each in (project.folder / "out").iterdir()}

    before = written()
    project.want["policy"] = {"max_moved_share": "19.9%"}
    for command in (["preview"], ["up", "--yes", "--skip-preview"]):
        printed = project.pulumi(*command, fails=True)
        assert SENTENCE in printed
        assert "20 % of the new clients of one class of requests go elsewhere, and 19.9% may" in printed
        assert "Traceback" not in printed
    assert written() == before

    project.want["policy"] = {"max_moved_share": "20%"}
    project.up()
    assert written() != before
    project.up("--expect-no-changes")
