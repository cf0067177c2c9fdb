"""Items that all fetch: the uplink, the Publisher's server, references, a small play."""

import asyncio
import json
import math
import ssl
import threading
import time

import pytest

from loadtest import deployment, files, pulling
from loadtest.authority import Authority
from loadtest.casting import door_of
from loadtest.herd import ended, unless_stopped
from loadtest.performance import Performance
from loadtest.problems import LoadError, RailsError
from loadtest.references import Fetch, Reference
from loadtest.server import Options
from loadtest.uplink import SEGMENT_BYTES, Uplink, kept_up
from topologies import overlays
from topologies.loading import varied

SMALL = (
    "platforms[analyst].count=6",
    "workload.duration=2 s",
    "workload.arrivals=[{topic: incidents, by: reporter, process: deterministic, rate: 1/s}]",
)


def laid(name="none", *changes):
    return varied(overlays.scenario("S-PULL", None, [name], real=True).attacked[name], changes)


async def carried(uplink, work):
    """What work returns while the uplink runs."""
    running = asyncio.ensure_future(uplink.run())
    try:
        return await work
    finally:
        await ended([running])


def test_an_uplink_is_shared_evenly_and_keeps_its_rate():
    order = []

    def lane(uplink, name, size):
        made = uplink.lane(lambda piece: order.append(name) or len(piece))
        made.put(bytes(size))
        return made

    async def story():
        uplink = Uplink(1e6)
        begun_s = time.monotonic()
        lanes = [lane(uplink, "a", 30 * SEGMENT_BYTES), lane(uplink, "b", 10 * SEGMENT_BYTES)]
        await carried(uplink, asyncio.gather(*(each.sent() for each in lanes)))
        return uplink, time.monotonic() - begun_s

    uplink, lasted_s = asyncio.run(story())
    assert order == ["a", "b"] * 10 + ["a"] * 20
    assert uplink.sent_bytes == 40 * SEGMENT_BYTES
    assert lasted_s >= uplink.expected_s == pytest.approx(0.0584)  # later on a busy machine
    assert 0.0 < kept_up(uplink) <= 1.0


def test_who_takes_nothing_or_is_gone_holds_up_nobody():
    class Connection:
        def __init__(self, *answers):
            self.answers = list(answers)

        def take(self, piece):
            answer = self.answers.pop(0) if self.answers else len(piece)
            if isinstance(answer, OSError):
                raise answer
            return answer

    async def story():
        uplink = Uplink(None)
        lanes = [uplink.lane(Connection(*each).take) for each in ((0, 0, 7), (BrokenPipeError(),))]
        for each in lanes:
            each.put(bytes(3 * SEGMENT_BYTES))
        work = asyncio.gather(*(each.sent() for each in lanes), return_exceptions=True)
        return uplink.sent_bytes, await carried(uplink, work), uplink.sent_bytes

    before, outcomes, after = asyncio.run(story())
    assert (before, after) == (0, 3 * SEGMENT_BYTES)
    assert outcomes[0] is None
    assert isinstance(outcomes[1], BrokenPipeError)
    assert math.isnan(kept_up(Uplink(None)))


@pytest.fixture
def shop(tmp_path):
    """Callable: what becomes of a story that gets the Publisher's server and a client's context."""
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate_pem)
    (tmp_path / "files.pem").write_bytes(authority.issue_address(files.ADDRESS).pem)
    trusting = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))

    def tell(story, connections=files.EVERYBODY):
        async def whole():
            uplink = Uplink(None)
            async with files.FileServer(tmp_path / "files.pem", uplink, connections) as server:
                server.files["a"] = b"payload" * 1000
                return await carried(uplink, story(server, trusting))

        return asyncio.run(whole())

    return tell


def reference(server, **changes):
    known = Reference.to(files.ADDRESS, server.port, "a", server.files["a"])
    return Reference(**{**vars(known), **changes})


def test_what_an_item_refers_to_is_fetched_and_verified(shop):
    async def story(server, context):
        heard = Reference.heard(reference(server).xml(500).encode())
        assert heard == reference(server)
        assert len(heard.xml(500)) == 500
        await Fetch(heard).run(context)
        other = ssl.create_default_context()
        for changes, settings, words in (
            ({"name": "b"}, context, "refused: .*404"),
            ({"size_bytes": 3}, context, "refused"),
            ({"sha256": "A" * 43 + "="}, context, "is not what was referred to"),
            ({}, other, "self.signed certificate|unable to get local issuer"),
        ):
            with pytest.raises(LoadError, match=words):
                await Fetch(reference(server, **changes)).run(settings)
        with pytest.raises(RailsError, match="not a loopback address"):
            await Fetch(reference(server, address="192.0.2.1")).run(context)
        await asyncio.sleep(0.05)
        return server.answered, server.failed

    assert shop(story) == (3, 2)  # the third was had, and was not what was promised


def test_others_wait_in_turn_where_few_are_served_at_a_time(shop):
    async def story(server, context):
        await asyncio.gather(*(Fetch(reference(server)).run(context) for _ in range(6)))
        return server.at_once_max

    assert shop(story, connections=2) <= 2


def test_a_herd_is_counted_by_who_holds_what_and_when():
    topology = laid("none", "platforms[analyst].count=2")
    pull = object.__new__(pulling.Pull)
    pull.subscribers = ["a", "b"]
    pull.found = pulling.Hoard(
        due_ns={0: 0, 1: 10**9},
        held_ns={(0, "a"): 5 * 10**8, (0, "b"): 2 * 10**9, (1, "a"): 11 * 10**8},
        refused=["b: no"],
        late_s=0.5,
        busy=0.9,
        kept_up=0.5,
        publisher_bytes=100,
        broker_bytes=50,
    )
    shown = pulling.measured(pull, topology, "none")
    assert shown.sample("late_share").value == 0.5
    assert shown.sample("lost_share").value == 0.25
    assert shown.sample("publisher_bytes").value == 50.0
    assert shown.sample("goodput_per_s").value == 2 / topology.workload.duration
    assert shown.document()["figures"]["all_there_s"]["value"] is None
    assert [each.split()[0] for each in shown.doubts] == ["a", "our", "the"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("platforms[reporter].count=2", "one Publisher is played"),
        ("platforms[analyst].subscribes=[{topic: incidents, fraction: 50 %}]", "say `all`"),
        ("platforms[analyst].network={delay: 5 ms}", "neither delay nor downlink"),
    ],
)
def test_what_is_not_played_is_refused(change, words):
    with pytest.raises(LoadError, match=words):
        pulling.require(laid("none", change))


@pytest.mark.real
def test_all_fetch_over_the_uplink_until_somebody_says_stop(shelter):
    slow = "platforms[reporter].network={uplink: 500 KB/s}"
    topology = laid("four-at-a-time", *SMALL, slow)
    played = Performance(seed=1).pull(topology, "four-at-a-time")
    whole_s = 6 * 31.5e3 / 500e3
    assert played.sample("lost_share").value == 0.0
    assert whole_s * 0.98 < played.sample("all_there_s").value < whole_s + 1.0
    assert played.sample("publisher_bytes").value == pytest.approx(6 * 31.5e3, rel=0.03)
    said = (shelter / "state" / "gridlab" / "audit.log").read_text().splitlines()
    lines = [json.loads(each) for each in said]
    assert [each["event"] for each in lines if "four-at-a-time" in each["what"]] == ["start", "end"]
    options = Options(scram="SHA-1", files=files.ADDRESS)
    with deployment.ephemeral(pulling.deployed(topology), options=options) as grid:
        pull = pulling.Pull(grid, topology, door_of(grid, topology), 1)
        threading.Timer(1.0, (grid.directory / "STOP").touch).start()
        begun_s = time.monotonic()
        with pytest.raises(LoadError, match="STOP"):
            asyncio.run(unless_stopped(grid, pull.play()))
        assert time.monotonic() - begun_s < 1.0 + 2.0
