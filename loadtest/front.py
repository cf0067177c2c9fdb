"""A grid's fault proxy as a process of its own: how it is started, steered, and what it runs.

`python -m loadtest.front SETTINGS` passes connections on until it is ended. It is steered through a
socket in its private directory, one JSON object a line each way; `Front` is the other end.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any, Final

from loadtest import lease
from loadtest.disturbance import CALM, Disturbance
from loadtest.gate import Gate
from loadtest.problems import DeploymentError, LoadError, Problem
from loadtest.proxy import Place, Proxy
from loadtest.server import Launch, helper

_SETTINGS_FILE: Final = "front.json"
_SOCKET_FILE: Final = "steer"
_READY_FILE: Final = "ready"
_ANSWER_WITHIN_S: Final = 5.0
_REQUEST_BYTES: Final = 65_536


def launch(
    controller: str,
    directory: Path,
    routes: dict[Place, Place],
    limit: tuple[int, float] | None,
) -> Launch:
    """How to start the proxy of one Controller; its directory is made here.

    Parameters
    ----------
    routes : dict
        Address and port to listen on, to address and port of the server.
    limit : tuple or None
        Connections that one source address may open [1], and in what time [s].
    """
    directory.mkdir(mode=0o700)
    settings = {"routes": [[list(here), list(there)] for here, there in routes.items()]}
    lease.write_json(directory / _SETTINGS_FILE, {**settings, "limit": limit})
    place = next(iter(routes))
    return helper(
        f"proxy of {controller}",
        "loadtest.front",
        directory,
        place,
        ready_file=directory / _READY_FILE,
        arguments=(str(directory),),
    )


class Front:
    """The proxy of a Controller of a grid that is up, from outside.

    Parameters
    ----------
    directory : Path
        The proxy's own.

    Raises
    ------
    DeploymentError
        From each method: the proxy does not answer; its grid is gone.
    LoadError
        From each method: what is asked for makes no sense.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def disturb(self, disturbance: Disturbance, address: str | None = None) -> None:
        """Treat all connections this way from now on, or those from one source address."""
        self._ask({"disturb": disturbance.document(), "address": address})

    def calm(self) -> None:
        """Pass everything on at once again."""
        self.disturb(CALM)

    def cut(self, address: str | None = None) -> int:
        """Reset all connections, or those from one source address; how many there were."""
        count = self._ask({"cut": True, "address": address})["cut"]
        assert isinstance(count, int)
        return count

    def counts(self) -> dict[str, int]:
        """What it has seen since it began (see `proxy.Counts`), and `connections` now."""
        return self._ask({"counts": True})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            reply = self._exchange(json.dumps(request).encode() + b"\n")
        except OSError as error:
            raise DeploymentError(
                f"{self._directory}: the proxy does not answer ({error}); is its grid up?"
            ) from None
        if "problem" in reply:
            raise LoadError(reply["problem"])
        return reply

    def _exchange(self, request: bytes) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as connection, _short(self._directory) as place:
            connection.settimeout(_ANSWER_WITHIN_S)
            connection.connect(place)
            connection.sendall(request)
            reply = json.loads(connection.makefile("rb").readline() or b"{}")
        if not isinstance(reply, dict) or not reply:
            raise OSError("no answer")
        return reply


@contextlib.contextmanager
def _short(directory: Path) -> Any:
    """A path to its socket that fits into a socket's address however deep the directory is."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{_SOCKET_FILE}"
    finally:
        os.close(descriptor)


async def serve(directory: Path) -> None:
    """Run the proxy that the settings describe, until cancelled."""
    settings = lease.read_json(directory / _SETTINGS_FILE)
    routes = {tuple(here): tuple(there) for here, there in settings["routes"]}
    gate = Gate(*settings["limit"]) if settings["limit"] else None

    async with Proxy(routes, gate) as proxy:

        async def steer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with asyncio.timeout(_ANSWER_WITHIN_S):
                    request = json.loads(await reader.readline())
                    writer.write(json.dumps(_obeyed(proxy, request)).encode() + b"\n")
                    await writer.drain()
            except (OSError, ValueError, TypeError, AttributeError) as error:
                print(f"not obeyed: {error!r}", flush=True)  # its log
            finally:
                writer.close()

        with _short(directory) as place:
            await asyncio.start_unix_server(steer, place, limit=_REQUEST_BYTES)
        (directory / _READY_FILE).touch(mode=0o600)
        await asyncio.Event().wait()


def _obeyed(proxy: Proxy, request: dict[str, Any]) -> dict[str, Any]:
    """Do what is asked, and the answer to it."""
    address = request.get("address")
    try:
        if "disturb" in request:
            proxy.disturb(Disturbance.of(request["disturb"]), address)
            return {"done": True}
        if "cut" in request:
            return {"cut": proxy.cut(address)}
    except Problem as problem:
        return {"problem": str(problem)}
    return {**dataclasses.asdict(proxy.counts), "connections": proxy.connections}


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
