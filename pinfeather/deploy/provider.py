"""The provider plugin: the engine starts it, reads a port from its output, and asks it over gRPC.

`python -m pinfeather.deploy.provider ENGINE_ADDRESS`; the engine finds it as `plugin/pulumi-resource-pinfeather`. This
file is the table token -> resource, the messages of `pulumi.provider.experimental` and nothing else. It is started once
an operation, so what is not needed at once is imported when it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Awaitable, Callable, Collection, Mapping
from functools import cached_property, partial
from importlib.metadata import version
from threading import Event
from typing import Final, TypeAlias

import grpc
import grpc.aio
from pulumi.provider.experimental import provider as messages
from pulumi.provider.experimental.server import ProviderServicer
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, provider_pb2_grpc
from typing_extensions import override

from pinfeather._files import FileError
from pinfeather.deploy.contract import Change, Difference, RefusedError, Severity, Step
from pinfeather.deploy.edge import Edge, Operations

_LARGEST_MESSAGE = 64 * 1024 * 1024  # bytes; a document and its files travel in one message
_LOG_DEADLINE = 5.0  # seconds
_PARENT_PAUSE = 0.5  # seconds between two looks at whether the engine still lives
_Continuation: TypeAlias = Callable[[grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler | None]]


def _config_file() -> Operations:
    from pinfeather.deploy.config_file import ConfigFileResource

    return Edge(ConfigFileResource())


def _local_process() -> Operations:
    from pinfeather.deploy.local_process import LocalProcessResource

    return Edge(LocalProcessResource())


def _route_set() -> Operations:
    from pinfeather.deploy.route_set import RouteSetResource

    return Edge(RouteSetResource())


RESOURCES: Final[Mapping[str, Callable[[], Operations]]] = {
    "pinfeather:index:ConfigFile": _config_file,
    "pinfeather:index:LocalProcess": _local_process,
    "pinfeather:index:RouteSet": _route_set,
}
"""Every resource that the plugin serves, by its type token."""

_SEVERITY = {Severity.INFO: engine_pb2.INFO, Severity.WARNING: engine_pb2.WARNING}
_KIND = {  # what happened, and whether it asks for a replacement
    (Change.ADD, False): messages.PropertyDiffKind.ADD,
    (Change.ADD, True): messages.PropertyDiffKind.ADD_REPLACE,
    (Change.DELETE, False): messages.PropertyDiffKind.DELETE,
    (Change.DELETE, True): messages.PropertyDiffKind.DELETE_REPLACE,
    (Change.UPDATE, False): messages.PropertyDiffKind.UPDATE,
    (Change.UPDATE, True): messages.PropertyDiffKind.UPDATE_REPLACE,
}


class EngineLog:
    """Shows messages in the engine's display, under the resource that they concern."""

    def __init__(self, address: str) -> None:
        self._address = address

    @cached_property
    def _engine(self) -> engine_pb2_grpc.EngineStub:
        return engine_pb2_grpc.EngineStub(grpc.insecure_channel(self._address))

    def say(self, urn: str, severity: Severity, message: str) -> None:
        request = engine_pb2.LogRequest(severity=_SEVERITY[severity], message=message, urn=urn)
        try:
            self._engine.Log(request, timeout=_LOG_DEADLINE)
        except grpc.RpcError as error:  # what the message is about matters more than that it is shown
            print(f"pinfeather: the engine takes no message ({error.code()}): {message}", file=sys.stderr)  # noqa: T201


class PinfeatherProvider(messages.Provider):
    """Carries out the engine's requests on the resources of `RESOURCES`, each in a thread: they wait on the world."""

    def __init__(self, say: Callable[[str, Severity, str], None]) -> None:
        self._say = say
        self._cancelled = Event()
        self._served: dict[str, Operations] = {}
        self._said: set[tuple[str, str]] = set()

    @override
    async def configure(self, request: messages.ConfigureRequest) -> messages.ConfigureResponse:
        return messages.ConfigureResponse(accept_secrets=True, supports_preview=True)

    @override
    async def check(self, request: messages.CheckRequest) -> messages.CheckResponse:
        failures = await asyncio.to_thread(self._operations(request.type).check, request.new_inputs)
        return messages.CheckResponse(
            inputs=request.new_inputs,
            failures=[messages.CheckFailure(failure.name, failure.reason) for failure in failures],
        )

    @override
    async def diff(self, request: messages.DiffRequest) -> messages.DiffResponse:
        operations, step = self._operations(request.type), self._step(request.urn, preview=True)
        difference = await asyncio.to_thread(operations.diff, step, request.old_state, request.new_inputs)
        return _diff_response(difference, request.new_inputs)

    @override
    async def create(self, request: messages.CreateRequest) -> messages.CreateResponse:
        operations, step = self._operations(request.type), self._step(request.urn, request.preview)
        resource_id, state = await asyncio.to_thread(operations.create, step, request.properties)
        return messages.CreateResponse(resource_id, state)

    @override
    async def read(self, request: messages.ReadRequest) -> messages.ReadResponse:
        operations, step = self._operations(request.type), self._step(request.urn, preview=True)
        state = await asyncio.to_thread(operations.read, step, request.properties)
        if state is None:
            return messages.ReadResponse("")  # an empty id says that it is gone
        return messages.ReadResponse(request.resource_id, state, request.inputs)

    @override
    async def update(self, request: messages.UpdateRequest) -> messages.UpdateResponse:
        operations, step = self._operations(request.type), self._step(request.urn, request.preview)
        return messages.UpdateResponse(await asyncio.to_thread(operations.update, step, request.olds, request.news))

    @override
    async def delete(self, request: messages.DeleteRequest) -> None:
        operations, step = self._operations(request.type), self._step(request.urn, preview=False)
        await asyncio.to_thread(operations.delete, step, request.properties)

    @override
    async def cancel(self) -> None:
        self._cancelled.set()

    def _operations(self, urn_type: str) -> Operations:
        token = urn_type.rpartition("$")[2]  # before it stand the types of the components that hold the resource
        if token not in self._served:
            if token not in RESOURCES:
                raise RefusedError(f"there is no resource {token}; there are {', '.join(RESOURCES)}")
            self._served[token] = RESOURCES[token]()
        return self._served[token]

    def _step(self, urn: str, preview: bool) -> Step:
        return Step(urn, preview, partial(self._say_once, urn), self._cancelled)

    def _say_once(self, urn: str, severity: Severity, message: str) -> None:
        # The engine compares a resource up to three times in one run.
        if (urn, message) not in self._said:
            self._said.add((urn, message))
            self._say(urn, severity, message)


def _diff_response(difference: Difference, inputs: Collection[str]) -> messages.DiffResponse:
    detailed = {
        path: messages.PropertyDiff(
            _KIND[change, _top(path) in difference.replaces],
            # An update of what the program does not name is one of an output: the world changed.
            input_diff=change is not Change.UPDATE or _top(path) in inputs,
        )
        for path, change in difference.changes.items()
    }
    return messages.DiffResponse(
        changes=bool(difference.changes),
        replaces=sorted(difference.replaces),
        diffs=sorted({_top(path) for path in difference.changes}),
        detailed_diff=detailed,
        delete_before_replace=difference.delete_before_replace,
    )


def _top(path: str) -> str:
    return path.replace("[", ".").partition(".")[0]


class PlainErrors(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Hands a refusal to the engine as its bare message; by itself gRPC would put the name of our class before it."""

    async def intercept_service(self, continuation: _Continuation, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        handler = await continuation(details)
        if handler is None or handler.unary_unary is None:
            return handler

        async def answer(request: object, context: grpc.aio.ServicerContext) -> object:
            try:
                reply: object = await handler.unary_unary(request, context)
            except (RefusedError, FileError) as error:
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
                raise  # `abort` has raised already
            return reply

        return grpc.unary_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)


async def _serve(arguments: list[str], engine: str) -> None:
    # `pulumi.provider.experimental.server.main` takes no interceptor, and serves on when the engine has died.
    parent = os.getppid()
    sizes = [(f"grpc.max_{way}_message_length", _LARGEST_MESSAGE) for way in ("receive", "send")]
    server = grpc.aio.server(interceptors=[PlainErrors()], options=sizes)
    servicer = ProviderServicer(arguments, version("pinfeather"), PinfeatherProvider(EngineLog(engine).say), engine)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    while os.getppid() == parent:  # noqa: ASYNC110 - nobody tells a process that its parent has died
        await asyncio.sleep(_PARENT_PAUSE)
    # The engine was killed. What is being done is still finished (its thread is waited for), so that nothing is lost.
    await server.stop(None)


def main(arguments: list[str]) -> int:
    """Serve until the engine ends the plugin; return the exit code."""
    if sys.platform == "win32":
        sys.stderr.write("pinfeather: deploying needs Linux or macOS; converting and linting work on Windows too.\n")
        return 2
    addresses = [argument for argument in arguments if not argument.startswith("-")]
    if len(addresses) != 1:
        sys.stderr.write("pinfeather: this is a plugin of Pulumi, started by `pulumi up`; see `pinfeather --help`.\n")
        return 2
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(arguments, addresses[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
