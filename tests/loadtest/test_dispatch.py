"""Items that only their receivers can read: what is sealed, who opens it, and a small play."""

import asyncio
import threading
import time
from pathlib import Path

import pytest

from loadtest import casting, deployment, dispatch, mailbox
from loadtest.disclosure import Insider
from loadtest.herd import unless_stopped
from loadtest.mailbox import Mailbox
from loadtest.manners import Sender
from loadtest.problems import DeploymentError, LoadError
from loadtest.sealing import Recipient, SharedKey, sealed_for
from loadtest.server import READING_FILE, Options
from topologies import overlays
from topologies.loading import varied

NAME = b"item 7"


def laid(defence="none", changes=(), **update):
    scenario = overlays.scenario("S-E2E", None, [defence], real=True)
    procedure = scenario.procedures[defence].model_copy(update=update)
    return varied(scenario.attacked[defence], list(changes)), procedure


def sending(manner, count=2, key_items=None):
    """A sender, its receivers, and what they took: (receiver, number, content)."""
    taken = []

    def taker(place):
        return lambda number, content, *_: taken.append((place, number, content))

    boxes = [Mailbox(f"analyst-{place}", taker(place)) for place in range(count)]
    sender = Sender(boxes, "grid.test", "broker.grid.test", "incidents", "admin", key_items)
    return sender, boxes, taken


@pytest.mark.parametrize("shared", [True, False], ids=["shared key", "one receiver"])
def test_only_whoever_has_the_key_opens_it_and_only_unchanged(shared):
    one, other = (SharedKey(), SharedKey()) if shared else (Recipient(), Recipient())
    text = one.sealed(b"secret", NAME) if shared else sealed_for(one.public, b"secret", NAME)
    assert b"secret" not in text
    assert one.opened(text, NAME) == b"secret"
    changed = text[:-6] + bytes([text[-6] ^ 1]) + text[-5:]
    for who, what, name in (
        (other, text, NAME),
        (one, text, b"item 8"),
        (one, changed, NAME),
        (one, text[:-6] + b"*" + text[-5:], NAME),
        (one, text[:9], NAME),
    ):
        with pytest.raises(LoadError, match="not sealed with this key, or was changed"):
            who.opened(what, name)


@pytest.mark.parametrize("manner", ["publish", "messages", "addressed", "sealed"])
def test_each_receiver_opens_what_is_sent_in_each_manner(manner):
    sender, boxes, taken = sending(manner)
    stanzas = list(sender.stanzas(manner, 7, b"abc123"))
    assert len(stanzas) == (2 if manner == "messages" else 1)
    assert ("abc123" in stanzas[0]) == (manner == "publish")
    for place, box in enumerate(boxes):
        box.received(stanzas[place if manner == "messages" else 0].encode(), 5)
    assert taken == [(0, 7, b"abc123"), (1, 7, b"abc123")]
    if manner == "messages":  # nobody opens what is for another
        boxes[0].received(stanzas[1].encode(), 5)
        assert taken[-1] == (0, 7, b"")


def test_a_relay_encrypts_anew_for_each_receiver():
    sender, boxes, taken = sending("relay")
    (to_relay,) = sender.stanzas("relay", 1, b"abc")
    spent_s = sender.sealing_s
    for box, text in zip(boxes, sender.relayed(to_relay.encode()), strict=True):
        box.received(text.encode(), 5)
    assert taken == [(0, 1, b"abc"), (1, 1, b"abc")]
    assert sender.sealing_s == spent_s  # the relay's is not the publisher's


def test_an_item_that_overtakes_its_key_waits_for_it():
    sender, (box,), taken = sending("sealed", count=1, key_items=2)
    key, item = sender.stanzas("sealed", 0, b"abc")
    assert len(list(sender.stanzas("sealed", 1, b"def"))) == 1  # the same key once more
    assert [each[:4] for each in sender.stanzas("sealed", 2, b"ghi")] == ["<mes", "<iq "]
    box.received(item.encode(), 5)
    assert taken == []
    box.received(key.replace("'", '"').encode(), 6)
    assert taken == [(0, 0, b"abc")]
    assert mailbox.NAMESPACE in key


def test_what_is_not_played_is_refused():
    topology, procedure = laid(evenly=False, receivers=99, limit=1.0)
    with pytest.raises(LoadError, match=r"evenly.*\n.*limit: 1\.0.*\n.*only 40 Platforms"):
        dispatch.require(procedure, topology)
    options = Options(multicast=True)
    with (
        pytest.raises(DeploymentError, match="XEP-0033"),
        deployment.ephemeral(casting.bare(topology), options=options),
    ):
        pass


def test_figures_count_who_never_had_an_item():
    _, procedure = laid(receivers=2, duration=8.0)
    post = dispatch.Post(
        {0: 0, 1: 0}, {0: [10**9, 3 * 10**9], 1: [10**8]}, [0.1], [0.2], [0.01], [50]
    )
    post.exposed_share, post.seen_share, post.unread = 0.0, 0.5, 1
    found = dispatch.measured(post, procedure, "none", deadline_s=1.0)
    assert found.sample("goodput_per_s").value == 2 / 8.0
    assert found.sample("last_receiver_s").value == float("inf")
    assert found.description.endswith("found items nowhere")
    assert len(found.doubts) == 2


@pytest.mark.real
def test_receivers_decrypt_what_the_server_cannot_read(shelter):
    """At 40 kB/s 8 messages of 3 kB take at least as long as their first read; then STOP."""
    topology, procedure = laid(
        "none", ["platforms[analyst].count=8"], receivers=8, rate=1.0, duration=1.0
    )
    options = Options(scram="SHA-1", reader=True, unlimited=True)
    with deployment.ephemeral(casting.bare(topology), options=options) as grid:
        door = casting.door_of(grid, topology)

        def played(**changes):
            return dispatch.Dispatch(grid, procedure.model_copy(update=changes), topology, door)

        place = Path(next(iter(grid.document()["controllers"].values()))["server_directory"])
        with pytest.raises(LoadError, match="has read nothing"):
            asyncio.run(Insider(grid).find([], None, "", ""))
        secret, open_to_all = played(), played(manner="publish")
        for each in (secret, open_to_all):
            asyncio.run(each.play())
            assert (each.found.unread, each.found.seen_share) == (0, 1.0)
            assert len(each.found.had_ns[0]) == 8
        found = dispatch.measured(secret.found, procedure, "none", 1.0)
        assert 8192 / 40e3 <= found.sample("last_receiver_s").value < 6.0
        assert secret.found.exposed_share == 0.0
        assert open_to_all.found.exposed_share == 1.0
        assert open_to_all.found.where == "stanzas, kept items, files"
        assert (place / READING_FILE).exists()
        threading.Timer(1.0, (grid.directory / "STOP").touch).start()
        begun_s = time.monotonic()
        with pytest.raises(LoadError, match="STOP"):
            asyncio.run(unless_stopped(grid, played(duration=60.0).play()))
        assert time.monotonic() - begun_s < 1.0 + 2.0
