"""Sessions against a real server: what goes wrong is said clearly, and soon."""

import asyncio
import dataclasses
import hashlib
import hmac
import ssl
import time
import xml.etree.ElementTree as ET

import pytest
from slixmpp.features.feature_mechanisms.stanza import Mechanisms
from slixmpp.stanza import StreamFeatures
from slixmpp.util.sasl import client as sasl_client
from slixmpp.util.sasl.mechanisms import SCRAM
from slixmpp.util.stringprep_profiles import StringPrepError
from slixmpp.xmlstream import register_stanza_plugin

from loadtest import deployment
from loadtest.client import Endpoint, Session, salted_password
from loadtest.problems import LoadError
from loadtest.receiver import DeliveryLog
from loadtest.subscriptions import end_others, subscribe


def plain_hi(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
    """Hi() of RFC 5802 section 2.2, as it is written there and as slixmpp computes it."""
    block = hmac.digest(password, salt + b"\0\0\0\1", name)
    result = int.from_bytes(block, "big")
    for _ in range(iterations - 1):
        block = hmac.digest(password, block, name)
        result ^= int.from_bytes(block, "big")
    return result.to_bytes(len(block), "big")


@pytest.mark.parametrize("name", ["sha1", "sha256", "sha512"])
@pytest.mark.parametrize("iterations", [1, 2, 100])
def test_salted_password_is_the_rfc_s(name: str, iterations: int) -> None:
    salt, password = b"0123456789abcdef", b"pencil"
    want = plain_hi(name, password, salt, iterations)
    assert salted_password(name, password, salt, iterations) == want


def test_salted_password_of_rfc_5802_section_5() -> None:
    salt = bytes.fromhex("4125c247e43ab1e93c6dff76")
    salted = salted_password("sha1", b"pencil", salt, 4096)
    assert salted.hex() == "1d96ee3a529b5a5f9e47c01f229a2cb8a6e15f7d"


def test_slixmpp_uses_it() -> None:
    mechanism = SCRAM.__new__(SCRAM)
    mechanism.hash = hashlib.sha256
    want = salted_password("sha256", b"pw", b"salt", 3)
    assert mechanism.Hi(b"pw", b"salt", 3) == want


def test_words_are_prepared_once_and_refused_each_time() -> None:
    prepared = sasl_client.saslprep.cache_info().hits
    assert [sasl_client.saslprep("I\u00adX") for _ in range(3)] == ["IX"] * 3  # RFC 4013 section 3
    assert sasl_client.saslprep.cache_info().hits >= prepared + 2
    for _ in range(2):
        with pytest.raises(StringPrepError):
            sasl_client.saslprep("\u0007")


def test_features_are_read_as_they_come() -> None:
    register_stanza_plugin(StreamFeatures, Mechanisms)
    text = (
        "<features xmlns='http://etherx.jabber.org/streams'>"
        "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
        "<mechanism>SCRAM-SHA-1</mechanism></mechanisms><unknown/></features>"
    )
    xml = ET.fromstring(text)
    features = StreamFeatures(xml=xml)
    assert list(features["features"]) == ["mechanisms"]
    assert set(features["mechanisms"]) == {"PLAIN", "SCRAM-SHA-1"}
    assert ET.tostring(xml) == ET.tostring(ET.fromstring(text))


def endpoint(grid: deployment.Grid, tls: str, **changes: object) -> Endpoint:
    served = grid.document()["controllers"]["alpha"]
    port = served["direct_tls_port"] if tls == "direct" else served["port"]
    context = ssl.create_default_context(cafile=served["ca_file"])
    plain = Endpoint(served["address"], port, served["domain"], tls, context)
    return dataclasses.replace(plain, **changes)


def session(grid: deployment.Grid, where: Endpoint, password: str | None = None) -> Session:
    jid = "tool-0@alpha.test"
    return Session(
        f"{jid}/grid",
        password or grid.credentials()[jid],
        where,
        number=1,
        tag="r0",
        log=DeliveryLog(),
    )


def failure(grid: deployment.Grid, where: Endpoint, password: str | None = None) -> str:
    """What a login that must fail says; it may take two seconds."""

    async def story() -> str:
        with pytest.raises(LoadError) as problem:
            await session(grid, where, password).login()
        return str(problem.value)

    begun_s = time.monotonic()
    said = asyncio.run(story())
    assert time.monotonic() - begun_s < 2.0
    return said


@pytest.mark.real
@pytest.mark.parametrize("tls", ["direct", "starttls"])
class TestLogin:
    def test_session_is_online_and_its_steps_are_timed(self, shared_grid, tls):
        async def story() -> Session:
            one = session(shared_grid, endpoint(shared_grid, tls))
            await one.login()
            one.leave()
            return one

        online = asyncio.run(story())
        steps = online.timeline.instants()
        assert steps == sorted(steps)
        assert all(steps)
        assert online.lost is None

    def test_wrong_authority_is_named(self, shared_grid, tls):
        stranger = endpoint(shared_grid, tls, context=ssl.create_default_context())
        said = failure(shared_grid, stranger)
        assert "tool-0@alpha.test at alpha.test (127." in said
        assert "certificate is not valid" in said

    def test_certificate_for_another_name_is_refused(self, shared_grid, tls):
        said = failure(shared_grid, endpoint(shared_grid, tls, domain="beta.test"))
        # Over direct TLS this server knows from the name alone that it is not meant.
        reason = {"direct": "no TLS with it", "starttls": "certificate is not valid"}[tls]
        assert "at beta.test (127." in said
        assert reason in said

    def test_wrong_password_is_named(self, shared_grid, tls):
        said = failure(shared_grid, endpoint(shared_grid, tls), "wrong")
        assert "the account or its password was refused (not-authorized)" in said

    def test_closed_port_is_named(self, shared_grid, tls):
        said = failure(shared_grid, endpoint(shared_grid, tls, port=5999))
        assert "nobody accepts connections there" in said

    def test_wrong_kind_of_tls_is_an_error(self, shared_grid, tls):
        other = {"direct": "starttls", "starttls": "direct"}[tls]
        port = endpoint(shared_grid, other).port
        assert failure(shared_grid, endpoint(shared_grid, tls, port=port))

    def test_foreign_address_is_not_dialled(self, shared_grid, tls):
        assert "not a loopback address" in failure(
            shared_grid, endpoint(shared_grid, tls, address="192.0.2.1")
        )


@pytest.mark.real
def test_server_that_goes_away_is_noticed(shared_grid):
    async def story() -> str | None:
        one = session(shared_grid, endpoint(shared_grid, "direct"))
        await one.login()
        one.send_raw("</stream:stream>")
        for _ in range(100):
            await asyncio.sleep(0.01)
            if one.lost:
                break
        return one.lost

    assert asyncio.run(story()) is not None


@pytest.mark.real
def test_subscriptions_are_what_the_run_expects(shared_grid):
    async def story() -> list[int]:
        tool = session(shared_grid, endpoint(shared_grid, "direct"))
        owner = Session(
            "admin@alpha.test/grid",
            shared_grid.credentials()["admin@alpha.test"],
            endpoint(shared_grid, "direct"),
            number=0,
            tag="r0",
            log=DeliveryLog(),
        )
        await tool.login()
        await owner.login()
        broker = shared_grid.document()["brokers"]["broker"]
        await end_others(owner, broker, "indicators", ())
        found = [
            await subscribe(tool, broker, ["indicators"]),
            await subscribe(tool, broker, ["indicators"]),
            await end_others(owner, broker, "indicators", {"tool-0@alpha.test"}),
            await end_others(owner, broker, "indicators", {"tool-1@alpha.test"}),
            await subscribe(tool, broker, ["indicators"]),
        ]
        with pytest.raises(LoadError, match="refused subscribe nothing"):
            await subscribe(tool, broker, ["nothing"])
        tool.leave()
        owner.leave()
        return found

    assert asyncio.run(story()) == [1, 0, 0, 1, 1]
