"""New Platforms and who lets them in: who hears whom, what is counted, and a small play."""

import asyncio
import threading
import time

import pytest

from loadtest import casting, deployment, desk, onboarding, pubsub
from loadtest.herd import unless_stopped
from loadtest.problems import DeploymentError, LoadError
from loadtest.server import Options
from topologies import overlays
from topologies.loading import varied
from topologies.procedures_load import Request


def laid(defence="none", changes=(), **update):
    scenario = overlays.scenario("S-ONBOARD", None, [defence], real=True)
    procedure = scenario.procedures[defence].model_copy(update=update)
    return varied(scenario.attacked[defence], list(changes)), procedure


class Form:
    """A request for a subscription, as the owner gets it."""

    def __init__(self, topic, jid):
        import xml.etree.ElementTree as ET

        fields = {"node": topic, "subscriber_jid": jid, "allow": "false"}
        self.xml = ET.fromstring(
            f"<message id='a'>{pubsub.form('form', fields, desk.AUTHORIZATION)}</message>"
        )


class Owner:
    """A session that keeps what it is to say."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


def request(account, honest=True, work_s=0.0):
    return Request(0.0, account, 0, honest, False, False, work_s, 0.0, False)


@pytest.mark.parametrize(
    ("pending", "allowed", "denied"), [(None, 2, 3), (1, 2, 3), (2, 2, 3)], ids=str
)
def test_a_desk_denies_spam_and_what_is_too_much_of_one_account(pending, allowed, denied):
    async def story():
        _, procedure = laid(pending=pending, approvers=1)
        known = {("t", f"a{k}"): request(k) for k in range(2)}
        known |= {("t", f"s/{k}"): request(0, honest=False, work_s=0.01) for k in range(3)}
        owner = Owner()
        people = desk.Desk(owner, "broker.grid.test", procedure, known)
        for topic, jid in known:
            people.take(Form(topic, jid))
        working = asyncio.ensure_future(people.work())
        while len(owner.said) < len(known):
            await asyncio.sleep(0.01)
        working.cancel()
        return owner.said, people.turned_away

    said, turned_away = asyncio.run(story())
    assert sum(">true<" in each for each in said) == allowed
    assert sum(">false<" in each for each in said) == denied
    assert turned_away == (0 if pending is None else 3 - pending)


def test_figures_go_by_what_was_heard_and_not_by_what_was_granted():
    _, procedure = laid(duration=4.0)
    played = object.__new__(onboarding.Onboarding)
    played.late_s, played.lookalikes = 0.0, 3
    one, other = onboarding.Morning(0), onboarding.Morning(1)
    one.wishes = {("t", each): request(number) for number, each in enumerate("abcd")}
    one.made = set(one.wishes)
    one.granted_s = {("t", "a"): 0.5, ("t", "b"): 1.0, ("t", "c"): 2.0}
    one.reached, one.lured = {("t", "a"), ("t", "b")}, {("t", "d")}
    other.wishes = {("t", "e"): request(0)}  # never made: too late
    played.mornings = [one, other]
    found = onboarding.measured(played, procedure, "none")
    assert found.sample("never_share").parts.tolist() == [0.5, 0.0]
    assert found.sample("lured_share").parts.tolist() == [0.25, 0.0]
    assert found.sample("goodput_per_s").parts.tolist() == [0.75, 0.0]
    assert found.doubts == ("morning 0: 1 that were granted heard nothing",)
    assert found.description.endswith("names: 3")


def test_names_look_alike_and_are_others():
    topic = onboarding.Morning(2).topic(1)
    assert len({topic, onboarding.alike(topic), onboarding.mistyped(topic)}) == 3


def test_what_is_not_played_is_refused():
    topology, procedure = laid("whitelist-prosody", prepared=0.5, platforms=99)
    with pytest.raises(LoadError, match=r"128 subscribe.*404.*\n.*prepared: 0\.5"):
        onboarding.require(procedure, topology, "prosody")
    with (
        pytest.raises(DeploymentError, match="only its administrators make Topics"),
        deployment.ephemeral(casting.bare(topology), options=Options(creation="anyone")),
    ):
        pass


@pytest.mark.real
def test_a_wrong_name_leads_to_an_error_or_to_somebody_else(shelter):
    """Half of the requests are for wrong names, all of which are somebody's; then STOP."""
    topology, procedure = laid(
        "look-alikes", ["platforms[analyst].count=8"], platforms=2, spammers=0, topics=2,
        misnamed=0.5, squatted=1.0, spread=0.5, correction=0.3, duration=2.0,
    )  # fmt: skip
    options = Options(scram="SHA-1", creation="anyone")
    with deployment.ephemeral(casting.bare(topology), options=options) as grid:
        played = onboarding.Onboarding(grid, procedure, topology, 1)
        asyncio.run(played.play())
        assert played.lookalikes == 4 * 2
        wishes = [item for each in played.mornings for item in each.wishes.items()]
        lured = {asked for asked, wish in wishes if wish.lured}
        assert 0 < len(lured) < len(wishes) == 16
        assert set().union(*(each.lured for each in played.mornings)) == lured
        reached = set().union(*(each.reached for each in played.mornings))
        assert reached == {asked for asked, _ in wishes} - lured
        threading.Timer(0.5, (grid.directory / "STOP").touch).start()
        begun_s = time.monotonic()
        longer = procedure.model_copy(update={"duration": 60.0, "spread": 50.0})
        again = onboarding.Onboarding(grid, longer, topology, 2)
        for each in again.mornings:  # the Topics of the first play are still there
            each.number += 10
            each.wishes.clear()
        with pytest.raises(LoadError, match="STOP"):
            asyncio.run(unless_stopped(grid, again.play()))
        assert time.monotonic() - begun_s < 0.5 + 2.0
