"""A Controller's limits as they are deployed: measured from outside, on both servers."""

import asyncio
import contextlib
import time

import pytest

import topologies
from loadtest import deployment
from loadtest.dialogue import Dialogue, Silence
from loadtest.problems import DeploymentError
from loadtest.testbed import door_of

SERVERS = ["prosody", "ejabberd"]
RATE_BYTES_PER_S = 100_000
BURST_BYTES = 100_000
SENT_BYTES = 400_000
READ_BYTES = 65_536  # what a server may read, and act on, before it counts it
STANZA_BYTES = 500


def play(story):
    return asyncio.run(asyncio.wait_for(story, 40))


@pytest.fixture
def limited(topology_file):
    """Callable: a grid of this kind of server, for as long as the block runs, with these limits."""

    @contextlib.contextmanager
    def deployed(server, *limits):
        wishes = [f"controllers[0].limits.{each}" for each in limits]
        profile = f"controllers[0].profile=test-{server}"
        with deployment.ephemeral(topologies.load(topology_file, [profile, *wishes])) as grid:
            yield grid

    return deployed


@contextlib.asynccontextmanager
async def session(grid, localpart, source=None, password=None, resource="r"):
    stream = await Dialogue.open(door_of(grid), source=source)
    try:
        known = grid.credentials()[f"{localpart}@alpha.test"]
        await stream.authenticate(localpart, password or known)
        yield await stream.bind(resource)
    finally:
        await stream.leave()


async def time_to_answer(stream, total_bytes):
    """Seconds until pings of so many bytes, sent at once, are all answered."""
    count = total_bytes // STANZA_BYTES
    bare = "<iq type='get' id='{}' to='alpha.test'><ping xmlns='urn:xmpp:ping'/></iq>"
    pings = [bare.format(f"k{k:05d}") for k in range(count)]
    padded = [each[:-5] + " " * (STANZA_BYTES - len(each)) + each[-5:] for each in pings]
    begun_s = time.monotonic()
    stream.say("".join(padded))
    assert await stream.hear(lambda stanza: stanza.xml.get("id") == f"k{count - 1:05d}", 20.0)
    return time.monotonic() - begun_s


@pytest.mark.real
@pytest.mark.parametrize(("server", "free_bytes"), [("prosody", 0), ("ejabberd", BURST_BYTES)])
def test_a_client_gets_its_rate_and_burst(limited, shelter, server, free_bytes):
    """Prosody saves nothing up; ejabberd lets a burst through."""
    limits = [f"client.rate={RATE_BYTES_PER_S} B/s", f"client.burst={BURST_BYTES} B"]

    async def story(grid):
        async with session(grid, "tool-0") as limited_session:
            await asyncio.sleep(1.2)  # whatever the login has used is there again
            return await time_to_answer(limited_session, SENT_BYTES)

    with limited(server, *limits) as grid:
        took_s = play(story(grid))
    expected_s = (SENT_BYTES - free_bytes) / RATE_BYTES_PER_S
    print(f"{server}: {took_s:.2f} s, expected {expected_s:.2f} s")
    # Early by one read at most; late by what timers and a busy machine add.
    assert expected_s - READ_BYTES / RATE_BYTES_PER_S <= took_s <= 1.35 * expected_s + 0.5


@pytest.mark.real
@pytest.mark.parametrize("server", SERVERS)
def test_stanzas_sessions_and_wrong_passwords_are_limited(limited, shelter, server):
    limits = ["client_stanza=20 KB", "account.sessions=2"]
    limits += ["failed_logins.count=3", "failed_logins.ban=1 min"]
    bad, good = "127.88.0.1", "127.88.0.2"

    async def story(grid):
        async with (
            session(grid, "tool-0", resource="a") as first,
            session(grid, "tool-0", resource="b") as second,
            session(grid, "tool-0", resource="c"),
        ):
            assert await first.hear(lambda _: first.closed is not None)
            assert "conflict" in first.closed
            second.say(f"<message to='tool-1@alpha.test'>{' ' * 15_000}</message>")
            ping = "<ping xmlns='urn:xmpp:ping'/>"
            assert (await second.ask("get", "alpha.test", ping)).ok
            second.say(f"<message to='tool-1@alpha.test'>{' ' * 25_000}</message>")
            assert await second.hear(lambda _: second.closed is not None)
            assert "policy-violation" in second.closed
        for _ in range(3):
            with pytest.raises(Silence, match=r"not-authorized|policy-violation"):
                async with session(grid, "tool-0", bad, "wrong"):
                    pass
        with pytest.raises((Silence, ConnectionError)):
            async with session(grid, "tool-0", bad):
                pass
        async with session(grid, "tool-0", good):
            pass

    with limited(server, *limits) as grid:
        play(story(grid))


@pytest.mark.real
@pytest.mark.parametrize("server", SERVERS)
def test_an_address_may_open_so_many_connections(limited, shelter, server):
    """By Prosody's module, and by our proxy before ejabberd."""
    limits = ["address.connections=3", "address.per=1 min"]

    async def enters(grid, source):
        try:
            async with session(grid, "tool-0", source):
                return True
        except (Silence, ConnectionError):
            return False

    async def story(grid):
        greedy = [await enters(grid, "127.88.0.3") for _ in range(5)]
        return greedy, await enters(grid, "127.88.0.4")

    with limited(server, *limits) as grid:
        assert ("proxy_directory" in grid.document()["controllers"]["alpha"]) == (
            server == "ejabberd"
        )
        assert play(story(grid)) == ([True] * 3 + [False] * 2, True)


@pytest.mark.parametrize(
    ("limit", "named"),
    [
        ("shape=drop", r'limits.shape: "drop": is for simulations'),
        ("account.rate=1/s", "account.rate: 1: no server limits"),
    ],
)
def test_limits_that_no_server_has_are_refused(topology_file, traces, limit, named):
    changes = [f"controllers[0].limits.{limit}", "controllers[0].limits.client.rate=1 MB/s"]
    changes.append("controllers[0].limits.client.burst=1 MB")
    with pytest.raises(DeploymentError, match=named):
        deployment.up(topologies.load(topology_file, changes))
    assert traces() == []
