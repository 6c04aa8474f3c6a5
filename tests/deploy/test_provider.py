"""The plugin as the engine meets it: an executable that prints a port and answers gRPC."""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2, provider_pb2_grpc
from typing_extensions import override

import pinfeather.deploy
from pinfeather.deploy import config_file, local_process, route_set
from pinfeather.deploy.edge import UNKNOWN
from pinfeather.deploy.provider import RESOURCES, main

PLUGIN = Path(pinfeather.deploy.__file__).with_name("plugin") / "pulumi-resource-pinfeather"
SECRET_SIGNATURE = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270"}
assert isinstance(UNKNOWN.value, str)
UNKNOWN_TEXT = UNKNOWN.value


class Engine(engine_pb2_grpc.EngineServicer):
    """The part of the engine that takes messages."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    @override
    def Log(self, request: engine_pb2.LogRequest, context: object) -> empty_pb2.Empty:
        self.said.append((engine_pb2.LogSeverity.Name(request.severity), request.message))
        return empty_pb2.Empty()


@pytest.fixture(scope="module")
def engine() -> Iterator[tuple[Engine, str]]:
    engine = Engine()
    with ThreadPoolExecutor(2) as pool:
        server = grpc.server(pool)
        engine_pb2_grpc.add_EngineServicer_to_server(engine, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield engine, f"127.0.0.1:{port}"
        server.stop(None).wait(10)


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 20)
    assert ready, "the plugin neither printed nor ended within 20 s"
    return process.stdout.readline()


@pytest.fixture(scope="module")
def plugin(engine: tuple[Engine, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[provider_pb2_grpc.ResourceProviderStub]:
    folder = tmp_path_factory.mktemp("elsewhere")
    environment = {"PATH": os.defpath}  # no `.venv/bin`: the plugin finds its Python by itself
    with subprocess.Popen([PLUGIN, engine[1]], stdout=subprocess.PIPE, text=True, cwd=folder, env=environment) as process:
        with grpc.insecure_channel(f"127.0.0.1:{int(first_line(process))}") as channel:
            yield provider_pb2_grpc.ResourceProviderStub(channel)
        process.terminate()


def urn(kind: str, name: str = "one") -> str:
    return f"urn:pulumi:dev::shop::pinfeather:index:Routes$pinfeather:index:{kind}::{name}"


def struct(values: Mapping[str, object]) -> struct_pb2.Struct:
    result = struct_pb2.Struct()
    result.update(values)
    return result


class Client:
    """One resource, asked as the engine asks."""

    def __init__(self, plugin: provider_pb2_grpc.ResourceProviderStub, kind: str) -> None:
        self.plugin = plugin
        self.urn = urn(kind)

    def check(self, news: Mapping[str, object]) -> dict[str, str]:
        reply = self.plugin.Check(provider_pb2.CheckRequest(urn=self.urn, news=struct(news)))
        return {failure.property: failure.reason for failure in reply.failures}

    def diff(self, olds: struct_pb2.Struct, news: Mapping[str, object]) -> provider_pb2.DiffResponse:
        reply: provider_pb2.DiffResponse = self.plugin.Diff(provider_pb2.DiffRequest(id="x", urn=self.urn, olds=olds, news=struct(news)))
        return reply

    def create(self, news: Mapping[str, object], preview: bool = False) -> provider_pb2.CreateResponse:
        reply: provider_pb2.CreateResponse = self.plugin.Create(
            provider_pb2.CreateRequest(urn=self.urn, properties=struct(news), preview=preview)
        )
        return reply

    def read(self, known: provider_pb2.CreateResponse, inputs: Mapping[str, object]) -> provider_pb2.ReadResponse:
        request = provider_pb2.ReadRequest(id=known.id, urn=self.urn, properties=known.properties, inputs=struct(inputs))
        reply: provider_pb2.ReadResponse = self.plugin.Read(request)
        return reply

    def update(self, olds: struct_pb2.Struct, news: Mapping[str, object]) -> provider_pb2.UpdateResponse:
        reply: provider_pb2.UpdateResponse = self.plugin.Update(
            provider_pb2.UpdateRequest(id="x", urn=self.urn, olds=olds, news=struct(news))
        )
        return reply

    def delete(self, known: provider_pb2.CreateResponse) -> None:
        self.plugin.Delete(provider_pb2.DeleteRequest(id=known.id, urn=self.urn, properties=known.properties))


@pytest.fixture
def config(plugin: provider_pb2_grpc.ResourceProviderStub) -> Client:
    return Client(plugin, "ConfigFile")


def refused(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as raised:
        call()
    return raised.value.code(), raised.value.details()


def test_it_says_who_it_is(plugin: provider_pb2_grpc.ResourceProviderStub) -> None:
    assert plugin.GetPluginInfo(empty_pb2.Empty()).version
    reply = plugin.Configure(provider_pb2.ConfigureRequest(acceptSecrets=True))
    assert reply.acceptSecrets
    assert reply.supportsPreview


def test_a_life_of_a_file(config: Client, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    one = {"path": str(path), "content": "a: 1\n", "mode": 0o640}
    two = {**one, "content": "a: 2\n"}
    assert config.check(one) == {}
    preview = config.create(one, preview=True)
    assert preview.id == str(path)
    assert not path.exists()
    made = config.create(one)
    assert made.id == str(path)
    assert path.read_text().endswith("\na: 1\n")
    assert path.stat().st_mode & 0o777 == 0o640
    assert config.diff(made.properties, one).changes == provider_pb2.DiffResponse.DIFF_NONE

    difference = config.diff(made.properties, two)
    assert difference.changes == provider_pb2.DiffResponse.DIFF_SOME
    assert list(difference.replaces) == []
    assert difference.detailedDiff["content"].kind == provider_pb2.PropertyDiff.UPDATE
    assert difference.detailedDiff["content"].inputDiff
    assert not difference.detailedDiff["sha256"].inputDiff
    updated = config.update(made.properties, two)
    assert path.read_text().endswith("\na: 2\n")
    known = provider_pb2.CreateResponse(id=made.id, properties=updated.properties)
    read = config.read(known, two)
    assert (read.id, read.properties, read.inputs) == (made.id, updated.properties, struct(two))

    moved = config.diff(updated.properties, {**two, "path": str(tmp_path / "b.yaml")})
    assert list(moved.replaces) == ["path"]
    assert not moved.deleteBeforeReplace
    assert moved.detailedDiff["path"].kind == provider_pb2.PropertyDiff.UPDATE_REPLACE

    config.delete(known)
    assert not path.exists()
    assert config.read(known, two).id == ""
    config.delete(known)


def test_check_names_each_wrong_input(config: Client, plugin: provider_pb2_grpc.ResourceProviderStub) -> None:
    assert config.check({"path": "/a", "content": 1.0, "mode": 4096.0, "contents": ""}) == {
        "content": "input should be a valid string",
        "mode": "input should be less than or equal to 511",
        "contents": "is not an input of this resource",
    }
    assert config.check({"path": "a"}) == {"content": "field required"}
    assert list(config.check({"path": "a", "content": ""})) == ["path"]
    assert list(Client(plugin, "LocalProcess").check({"name": "A B", "command": [], "folder": "/x"})) == ["name", "command"]
    assert Client(plugin, "LocalProcess").check({"name": "a", "command": ["x", 1.0], "folder": "/x"}) == {
        "command[1]": "input should be a valid string"
    }


def test_a_refusal_is_one_plain_message(config: Client, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("theirs: 1\n")
    code, message = refused(lambda: config.create({"path": str(tmp_path / "a.yaml"), "content": ""}))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert message.startswith(f"{tmp_path / 'a.yaml'} was not written by Pinfeather")
    (tmp_path / "file").write_text("")
    _, message = refused(lambda: config.create({"path": str(tmp_path / "file" / "a.yaml"), "content": ""}))
    assert message == f"{tmp_path / 'file' / 'a.yaml'}: a part of its path is a file and not a folder"


def test_a_resource_that_there_is_not(plugin: provider_pb2_grpc.ResourceProviderStub) -> None:
    _, message = refused(lambda: Client(plugin, "ConfigFiles").create({}))
    assert message == f"there is no resource pinfeather:index:ConfigFiles; there are {', '.join(RESOURCES)}"


def test_a_state_that_cannot_be_read(config: Client) -> None:
    _, message = refused(lambda: config.diff(struct({"path": "/a"}), {"path": "/a", "content": ""}))
    assert message.startswith("the stack's state of this resource cannot be read (content: field required)")


def test_what_a_preview_does_not_know(config: Client, tmp_path: Path) -> None:
    path = str(tmp_path / "a.yaml")
    news = {"path": path, "content": UNKNOWN_TEXT}
    assert config.check(news) == {}
    assert config.check({**news, "mode": "x"}) == {"mode": "input should be a valid integer"}
    preview = config.create(news, preview=True)
    assert preview.id == ""
    assert preview.properties["path"] == path
    assert preview.properties["sha256"] == UNKNOWN_TEXT
    assert list(tmp_path.iterdir()) == []

    made = config.create({"path": path, "content": "a"})
    difference = config.diff(made.properties, news)
    assert list(difference.detailedDiff) == ["content"]
    assert list(difference.replaces) == []
    request = provider_pb2.UpdateRequest(id=path, urn=config.urn, olds=made.properties, news=struct(news), preview=True)
    assert config.plugin.Update(request).properties["sha256"] == UNKNOWN_TEXT
    elsewhere = config.diff(made.properties, {"path": UNKNOWN_TEXT, "content": "a"})
    assert list(elsewhere.replaces) == ["path"]
    assert not elsewhere.deleteBeforeReplace


def test_a_nested_value_that_a_preview_does_not_know(plugin: provider_pb2_grpc.ResourceProviderStub, tmp_path: Path) -> None:
    process = Client(plugin, "LocalProcess")
    news = {"name": "a", "command": ["/bin/x", UNKNOWN_TEXT], "folder": str(tmp_path), "listen": ["127.0.0.1:1"]}
    assert process.check(news) == {}
    assert process.create(news, preview=True).properties["pid"] == UNKNOWN_TEXT


def test_secrets_stay_secrets(config: Client, tmp_path: Path) -> None:
    secret = {**SECRET_SIGNATURE, "value": "CANARY"}
    made = config.create({"path": str(tmp_path / "a.yaml"), "content": secret})
    assert (tmp_path / "a.yaml").read_text().endswith("\nCANARY")
    assert dict(made.properties["content"]) == secret
    assert "CANARY" not in str({key: made.properties[key] for key in made.properties if key != "content"})


def test_drift_is_said_under_the_resource(engine: tuple[Engine, str], config: Client, tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    news = {"path": str(path), "content": "a"}
    made = config.create(news)
    path.write_text(path.read_text() + "b")
    engine[0].said.clear()
    for _ in range(2):  # and said once
        assert config.diff(made.properties, news).changes == provider_pb2.DiffResponse.DIFF_SOME
    assert engine[0].said == [("WARNING", f"{path} was edited by hand; `up` puts it right.")]


def test_a_life_of_a_process(plugin: provider_pb2_grpc.ResourceProviderStub, tmp_path: Path) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    process = Client(plugin, "LocalProcess")
    news = {
        "name": "one",
        "command": [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)],
        "folder": str(tmp_path / "run"),
        "listen": [f"127.0.0.1:{port}"],
        "start_timeout": 20.0,
        "working_directory": str(tmp_path),
    }
    assert process.check(news) == {}
    made = process.create(news)
    try:
        assert process.diff(made.properties, news).changes == provider_pb2.DiffResponse.DIFF_NONE
        assert process.read(made, news).id == "one"
        pid = int(made.properties["pid"])
        assert os.getsid(pid) == pid  # the engine ends the plugin's process group, and not this one
    finally:
        process.delete(made)
    assert process.read(made, news).id == ""
    assert list(tmp_path.iterdir()) == []


def test_a_life_of_a_route_set(plugin: provider_pb2_grpc.ResourceProviderStub) -> None:
    routes = Client(plugin, "RouteSet")
    old = {"name": "shop", "document": {"split": [{"weight": 9.0}], "x": None}, "format": "canonical"}
    new = {**old, "document": {"split": [{"weight": 8.0}], "x": None}}
    assert routes.check(old) == {}
    made = routes.create(old)
    assert made.id == "shop"
    assert routes.diff(made.properties, old).changes == provider_pb2.DiffResponse.DIFF_NONE
    difference = routes.diff(made.properties, new)
    assert list(difference.detailedDiff) == ["document.split[0].weight"]
    assert list(difference.diffs) == ["document"]
    assert routes.update(made.properties, new).properties["document"]["split"][0]["weight"] == 8
    routes.delete(made)


@pytest.mark.parametrize("module", [config_file.ConfigFileResource, local_process.LocalProcessResource, route_set.RouteSetResource])
def test_no_output_has_the_name_of_an_input(
    module: type[config_file.ConfigFileResource | local_process.LocalProcessResource | route_set.RouteSetResource],
) -> None:
    assert not set(module.inputs.model_fields) & set(module.outputs.model_fields)


def test_it_finds_the_python_on_path(tmp_path: Path, engine: tuple[Engine, str]) -> None:
    """A launcher that stands alone, as in a packaging of somebody else's: `python3` of PATH it is."""
    lonely = tmp_path / "pulumi-resource-pinfeather"
    shutil.copy2(PLUGIN, lonely)
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.defpath}"}
    with subprocess.Popen([lonely, engine[1]], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert int(first_line(process)) > 0
        process.terminate()


def test_it_ends_with_an_engine_that_is_killed(engine: tuple[Engine, str]) -> None:
    command = ["/bin/sh", "-c", '"$0" "$1" & wait', str(PLUGIN), engine[1]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert int(first_line(parent)) > 0
        parent.kill()
        assert first_line(parent) == ""  # its output ends when the last process that holds it does: the plugin


@pytest.mark.parametrize("arguments", [[], ["--help"], ["a", "b"]])
def test_it_is_not_for_people(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err == ("pinfeather: this is a plugin of Pulumi, started by `pulumi up`; see `pinfeather --help`.\n")


def test_windows_is_told_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["127.0.0.1:1"]) == 2
    assert "deploying needs Linux or macOS" in capsys.readouterr().err


def test_the_resources_need_no_pulumi() -> None:
    modules = ", ".join(f"pinfeather.deploy.{name}" for name in ("config_file", "local_process", "route_set"))
    program = f"import sys, {modules}; print('pulumi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "False\n"
