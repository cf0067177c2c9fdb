"""A Locust user with an XMPP session of its own, for a locustfile of one's own.

    from locust import between, task
    from loadtest.xmpp_user import XmppUser

    class Sensor(XmppUser):
        population = "sensor"
        wait_time = between(0.5, 1.5)

        def on_start(self):
            self.client.login()

        @task
        def report(self):
            self.client.publish("indicators", size_bytes=500)

This is a closed workload: a user waits for each answer, and so a slow server slows it down. For an
open one, with a plan and a verdict, use this package's own locustfile. Sessions are held by a
process of their own (`loadtest.switchboard`), however Locust was started.
"""

from __future__ import annotations

import contextlib
import ipaddress
import itertools
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from gevent import spawn, subprocess
from gevent.event import AsyncResult, Event
from gevent.lock import Semaphore
from locust import User, events
from locust.env import Environment
from locust.runners import MasterRunner

from loadtest import deployment, generator
from loadtest.payload import Kind
from loadtest.problems import LoadError
from loadtest.users import Board

OPEN_WITHIN_S = 60.0  # a sessions' process that has not loaded then is waited for by its users

_numbers = itertools.count()
_turns: dict[tuple[str, str], Iterator[int]] = {}
_lines: dict[tuple[str, int], _Line] = {}
_opening = Semaphore()


class XmppClient:
    """One session, whose requests Locust counts: CONN, IQ and PUBLISH; copies are DELIVER.

    Parameters
    ----------
    environment : Environment
        Where the events of requests go.
    grid : str
        A grid that is up on this machine.
    population : str
        Whose accounts are taken, one after the other.
    """

    def __init__(self, environment: Environment, grid: str, population: str) -> None:
        self._environment = environment
        self._grid, self._population = grid, population
        self._user = next(_numbers)
        self._brokers: Mapping[str, str] = {}
        self._line: _Line | None = None

    def login(self) -> bool:
        """Connect, secure, authenticate, bind; whether that went well."""
        try:
            request = self._account()
        except ValueError as problem:
            self._tell("CONN", "login", {"took_ms": 0.0, "error": str(problem)})
            return False
        return self._request("CONN", "login", do="login", **request)["error"] is None

    def subscribe(self, topic: str, broker: str | None = None) -> bool:
        """Subscribe to a Topic and become available for its copies; whether that went well."""
        asked = {"do": "subscribe", "topic": topic, "broker": self._broker(broker)}
        return self._request("IQ", "subscribe", **asked)["error"] is None

    def publish(
        self, topic: str, size_bytes: int = 500, kind: Kind = "opaque", broker: str | None = None
    ) -> bool:
        """Publish an item and wait for the answer; whether the Broker took it.

        Parameters
        ----------
        size_bytes, kind
            See `loadtest.payload`. [B]
        broker : str, optional
            Name of the Topic's Broker; default: the grid's first.
        """
        asked = {"topic": topic, "size_bytes": size_bytes, "kind": kind}
        answer = self._request("PUBLISH", topic, do="publish", broker=self._broker(broker), **asked)
        return answer["error"] is None

    def query(self, xml: str, to: str | None = None, kind: str = "get", name: str = "") -> str:
        """Ask (`get` or `set`); the reply's stanza, empty where it was refused.

        Parameters
        ----------
        to : str, optional
            Address; default: the grid's first Broker.
        name : str
            Name of the row; default: the kind.
        """
        asked = {"do": "query", "xml": xml, "to": to or self._broker(None), "kind": kind}
        return str(self._request("IQ", name or kind, **asked).get("reply", ""))

    def leave(self) -> None:
        """End the session; nothing is counted."""
        if self._line is not None:
            self._line.ask({"do": "leave", "user": self._user})

    def _broker(self, name: str | None) -> str:
        addresses = list(self._brokers.values())
        return self._brokers.get(name, name) if name else (addresses or [""])[0]

    def _account(self) -> dict[str, Any]:
        """The next account of the population, and where it logs in."""
        up = deployment.status(self._grid)
        document, passwords = up.document(), up.credentials()
        accounts = [
            jid for jid in passwords if jid.partition("@")[0].rpartition("-")[0] == self._population
        ]
        if not accounts:
            raise LoadError(
                f'population "{self._population}": has no account in grid "{self._grid}"; name '
                f"one of its topology, {document['topology']}"
            )
        turn = next(_turns.setdefault((self._grid, self._population), itertools.count()))
        jid = accounts[turn % len(accounts)]
        domain = jid.partition("@")[2]
        (served,) = (c for c in document["controllers"].values() if c["domain"] == domain)
        if not ipaddress.ip_address(served["address"]).is_loopback:
            raise LoadError(
                f"{served['address']}: users of one's own are for loopback; elsewhere only a plan "
                "may be played, whose rate is known: loadtest/locustfile.py --host"
            )
        self._brokers = document["brokers"]
        self._line = _line(self._environment, self._grid)
        door = {"port": served["direct_tls_port"]}
        door |= {name: served[name] for name in ("address", "domain", "ca_file")}
        resource = f"locust-{os.getpid()}-{self._user}"
        return {"jid": f"{jid}/{resource}", "password": passwords[jid], "door": door}

    def _request(self, method: str, name: str, **request: Any) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = {"took_ms": 0.0, "error": "not online: log in first"}
        if self._line is not None:
            answer = self._line.ask({"user": self._user, **request})
        self._tell(method, name, answer)
        return answer

    def _tell(self, method: str, name: str, answer: Mapping[str, Any]) -> None:
        self._environment.events.request.fire(
            request_type=method,
            name=name,
            response_time=answer["took_ms"],
            response_length=answer.get("bytes", 0),
            exception=LoadError(answer["error"]) if answer["error"] else None,
            context={},
        )


class XmppUser(User):  # type: ignore[misc]
    """A user whose `client` is an `XmppClient`.

    Attributes
    ----------
    grid : str
        Name of a grid that is up (`gridlab grid up`).
    population : str
        Which of the topology's Platforms it is.
    """

    abstract = True
    host = ""  # addresses come from the grid
    grid: ClassVar[str] = os.environ.get("GRIDLAB_GRID", "default")
    population: ClassVar[str] = ""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.client = XmppClient(environment, self.grid, self.population)

    def on_stop(self) -> None:
        """Leave; one's own `on_stop` calls this, too."""
        self.client.leave()


class _Line:
    """The way to the process that holds the sessions of this one's users."""

    def __init__(self, environment: Environment, grid: str) -> None:
        self._environment = environment
        self._waiting: dict[int, AsyncResult] = {}
        self._requests = itertools.count()
        self._writing = Semaphore()
        self._open = Event()
        directory = str(deployment.status(grid).directory)
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "loadtest.switchboard", directory, str(os.getpid())],
            env=generator.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for Locust alone
        )
        spawn(self._listen)

    def wait(self, within_s: float) -> None:
        """Until the process takes requests, or has ended, or so long. [s]"""
        self._open.wait(within_s)

    def ask(self, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """The answer to a request; other users go on meanwhile."""
        number, answer = next(self._requests), AsyncResult()
        self._waiting[number] = answer
        try:
            with self._writing:
                self._child.stdin.write(json.dumps({**request, "number": number}).encode() + b"\n")
                self._child.stdin.flush()
        except OSError:
            return self._gone()
        if self._child.poll() is not None:
            return self._gone()
        found: Mapping[str, Any] = answer.get()
        return found

    def _gone(self) -> dict[str, Any]:
        return {"took_ms": 0.0, "error": "the sessions' process has ended; is there a STOP file?"}

    def _listen(self) -> None:
        for line in self._child.stdout:
            said = json.loads(line)
            self._open.set()
            for topic, latency in said.get("copies", {}).items():
                window = {"role": "receive", "latency": latency, "read_bytes": 0}
                board = Board(self._environment.stats, topic)
                board.show({"windows": [window]}, time.time())
            if "number" in said:
                self._waiting.pop(said["number"]).set(said)
        self._open.set()
        for answer in self._waiting.values():
            answer.set(self._gone())


def _line(environment: Environment, grid: str) -> _Line:
    """The line of this process; workers are forked, so that each has its own."""
    key = grid, os.getpid()
    with _opening:
        if key not in _lines:
            _lines[key] = _Line(environment, grid)
        return _lines[key]


def _open_lines(environment: Environment, **_: object) -> None:
    """Start the sessions' processes before Locust starts the clock.

    On a busy machine it would otherwise run out while they are loading.
    """
    if isinstance(environment.runner, MasterRunner):
        return  # its workers have the users
    classes = [each for each in environment.user_classes if issubclass(each, XmppUser)]
    for grid in dict.fromkeys(each.grid for each in classes):
        with contextlib.suppress(ValueError):  # it is not up, which each login says
            _line(environment, grid).wait(OPEN_WITHIN_S)


events.init.add_listener(_open_lines)
