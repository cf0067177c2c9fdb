"""Where compiled code cannot read, or should not: the interpreter does, and the record says why."""

import asyncio

import numpy as np
import pytest
from counted_sessions import Scene, notification

from loadtest import compiled_tables, compiled_turn, openssl
from loadtest.compiled_reading import CompiledReading
from loadtest.receiver import DeliveryLog
from loadtest.share import ReceiveShare
from loadtest.shares import Node, Spec


async def told(scene, session):
    """What is known once a session has had a notification: sessions, why refused, rows."""
    session.peer.send(session.peer.sealed(notification(7)))
    await scene.settle()
    found = scene.compiled.sessions, scene.compiled.refused, scene.outcome()["rows"]
    scene.close()
    return found


def test_session_of_another_log_or_run_is_left_to_the_interpreter(contexts):
    async def story():
        scene = Scene(contexts, True)
        await scene.enter()
        scene.log = DeliveryLog()
        return await told(scene, await scene.enter())

    sessions, refused, rows = asyncio.run(story())
    assert (sessions, refused) == (1, "its deliveries are noted elsewhere")
    assert rows == [[], [(7, False)]]


def test_kernels_work_where_nothing_can_be_kept_on_disk(monkeypatch):
    def njit(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return lambda function: function

    monkeypatch.setattr(compiled_tables.numba, "njit", njit)
    assert compiled_tables.compiled(abs)(-1) == 1


class Elsewhere:
    """Like an object of `ssl`, with something else where its members are expected."""

    __slots__ = ("first", "second")

    def __init__(self, *members):
        self.first, self.second = members


@pytest.mark.parametrize("where", ["small", "unreadable", "foreign"])
def test_objects_that_are_not_as_expected_are_refused_without_a_crash(contexts, where, monkeypatch):
    async def story():
        scene = Scene(contexts, True)
        real = openssl.ssl_of
        fake = {
            "small": lambda tls: openssl._member(object(), 1),
            "unreadable": lambda tls: 0x10,
            "foreign": lambda tls: id(Elsewhere(1, 2)),
        }[where]
        monkeypatch.setattr(openssl, "ssl_of", fake)
        session = await scene.enter()
        monkeypatch.setattr(openssl, "ssl_of", real)
        return await told(scene, session)

    sessions, refused, rows = asyncio.run(story())
    assert sessions == 0
    assert refused
    assert rows == [[(7, False)]]


def test_unknown_python_keeps_to_the_interpreter(monkeypatch):
    monkeypatch.setattr(openssl, "KNOWN", ())
    with pytest.raises(openssl.ForeignError, match="is not known"):
        CompiledReading(0, {}, DeliveryLog(), "run")


def test_ssl_built_into_python_keeps_to_the_interpreter(tmp_path, monkeypatch):
    openssl.library.cache_clear()
    monkeypatch.delattr("_ssl.__file__")
    assert "no library of its own" in Plan(tmp_path, 10_000).path()["because"]


def test_failing_compiler_keeps_to_the_interpreter(tmp_path, monkeypatch):
    def fail(tables):
        raise TypeError("not compiled")

    monkeypatch.setattr(compiled_turn, "serve", fail)
    assert Plan(tmp_path, 10_000).path()["because"] == "TypeError: not compiled"


def test_memory_that_cannot_be_looked_at_is_refused(monkeypatch):
    def fail(*_, **__):
        raise PermissionError("not yours")

    monkeypatch.setattr("builtins.open", fail)
    with pytest.raises(openssl.ForeignError, match="not yours"):
        openssl._readable(0, 8)


def test_missing_function_keeps_to_the_interpreter(monkeypatch):
    monkeypatch.setattr("loadtest.compiled_tables.FUNCTIONS", ("no_such_function",))
    with pytest.raises(openssl.ForeignError, match="no_such_function is not found"):
        CompiledReading(0, {}, DeliveryLog(), "run")


class Plan:
    """A share that receives one Topic's publications with two sessions."""

    def __init__(self, directory, publications, receivers="counting"):
        np.savez(
            directory / "plan.npz",
            intended_s=np.arange(publications) / 100.0,
            topic=np.arange(publications) % 2,
        )
        nodes = tuple(Node(name, "broker.peer.test", "opaque") for name in ("incidents", "other"))
        self._spec = Spec(
            role="receive",
            number=0,
            tag="run",
            parent_pid=1,
            doors={},
            logins=(),
            topics_of=((0,), (0,)),
            nodes=nodes,
            prunes=(),
            logins_per_s=1.0,
            concurrent_logins=1,
            cores=(),
            receivers=receivers,
            plan_file=str(directory / "plan.npz"),
            result=str(directory / "share-0"),
        )

    def path(self):
        """What the record will say of its receive path."""

        async def prepared():
            share = ReceiveShare(self._spec)
            share.prepare()
            return share.facts()["receive_path"]

        return asyncio.run(prepared())


@pytest.mark.parametrize(
    ("publications", "receivers", "because"),
    [
        (10_000, "counting", None),
        (9_998, "counting", "fewer than 10,000 deliveries are expected"),
        (10_000, "interpreted", "receivers: interpreted"),
        (10_000, "full", "receivers: full"),
    ],
)
def test_compiled_code_is_loaded_where_it_pays(tmp_path, publications, receivers, because):
    path = Plan(tmp_path, publications, receivers).path()
    assert path == {"compiled": 0, "interpreted": 0, "because": because}


def test_reason_why_it_cannot_work_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("loadtest.compiled_tables.FUNCTIONS", ("no_such_function",))
    assert "no_such_function is not found" in Plan(tmp_path, 10_000).path()["because"]
