"""Conformance of real servers: pinned verdicts, and probes that fail where they must."""

import asyncio
import contextlib
import csv
import dataclasses
import json
import re
import time
from pathlib import Path

import jsonschema
import pytest

import topologies
from loadtest import conformance, conformance_report, deployment, pubsub, rails, testbed
from loadtest.dialogue import Dialogue, Door, Silence
from loadtest.findings import VERDICTS, Finding, evidence, failed, passed
from loadtest.requirements import Report, Row, document_schema, requirements

VERDICTS_FILE = Path(__file__).parent / "verdicts.csv"
SERVERS = ("prosody", "ejabberd")
SECONDS_MAX = 45.0


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="module")
def reports(home):
    """Report of each server, the seconds that it took, and the passwords of its grid."""
    found = {}
    for server in SERVERS:
        begun_s = time.monotonic()
        with conformance.deployed(server) as (grid, certified):
            report = conformance.conform_grid(grid, certified=certified)
            secrets = [*grid.credentials().values(), *certified.credentials().values()]
        found[server] = (report, time.monotonic() - begun_s, secrets)
    return found


def pinned():
    """Verdict of each server by requirement, and the versions that they are of."""
    rows = list(csv.reader(VERDICTS_FILE.open(newline="")))
    return {row[0]: dict(zip(SERVERS, row[1:], strict=True)) for row in rows[1:]}


@pytest.mark.real
@pytest.mark.parametrize("server", SERVERS)
def test_verdicts_are_those_of_the_packaged_versions(reports, server):
    report, used_s, _ = reports[server]
    want = {name: verdicts[server] for name, verdicts in pinned().items()}
    found = {row.requirement.id: row.finding.verdict for row in report.rows}
    assert {"version": report.version, **found} == want
    assert used_s < SECONDS_MAX


@pytest.mark.real
@pytest.mark.parametrize("server", SERVERS)
def test_document_is_whole_and_gives_no_secret_away(reports, server):
    report, _, passwords = reports[server]
    text = json.dumps(report.document())
    document = json.loads(text)
    jsonschema.validate(document, document_schema())
    assert document["server"] == server
    assert [row["id"] for row in document["requirements"]] == [each.id for each in requirements()]
    assert all(row["evidence"] for row in document["requirements"])
    tried = {row["id"] for row in document["requirements"] if row["verdict"] != "not observable"}
    assert tried == set(conformance.probes())
    assert not [password for password in passwords if password in text]


@pytest.mark.real
def test_page_shows_the_servers_side_by_side_and_asks_no_network(reports):
    page = conformance_report.html([report for report, _, _ in reports.values()])
    assert re.findall(r"<th>(prosody|ejabberd)</th>", page)[:2] == list(SERVERS)
    assert not re.search(r"<script|<link rel=\"stylesheet|src=|url\(|@import", page)
    assert page.count("<tr id=") == len(requirements())
    assert "<iq" not in page  # what servers say is text on this page, never mark-up


def test_page_of_different_requirements_is_refused():
    row = Row(requirements()[0], passed("seen"))
    one = Report("prosody", "0", (row,))
    other = dataclasses.replace(one, rows=())
    with pytest.raises(ValueError, match="all of the same requirements"):
        conformance_report.html([one, other])


class Careless(testbed.Testbed):
    """A test bed whose Topics are open to all, whatever is asked for, and that lose payloads."""

    @contextlib.asynccontextmanager
    async def topic(self, **configuration):
        wishes = {**configuration, "access_model": "open", "publish_model": "open"}
        async with super().topic(**wishes, deliver_payloads=0) as node:
            yield node


MUST_FAIL_ON_CARELESS = (
    "access-whitelist",
    "authorization-model",
    "creation-with-configuration",
    "items-off-whitelist-refused",
    "payload-intact",
    "publication-by-stranger-refused",
    "subscription-off-whitelist-refused",
)


@pytest.mark.real
def test_probes_fail_on_a_broker_that_does_otherwise(home):
    async def story(grid):
        async with testbed.Testbed.on(grid) as bed:
            careless = Careless(**{f.name: getattr(bed, f.name) for f in dataclasses.fields(bed)})
            tried = {name: conformance.probes()[name] for name in MUST_FAIL_ON_CARELESS}
            return await conformance.try_all(careless, tried)

    with deployment.ephemeral(topologies.parse(conformance.topology("prosody"))) as grid:
        found = asyncio.run(story(grid))
    assert {name: each.verdict for name, each in found.items()} == dict.fromkeys(found, "fail")


@pytest.mark.real
def test_a_small_grid_is_tried_with_the_accounts_that_it_has(shared_grid):
    """Four Platforms without certificates; its own Topics are left as they were."""

    async def listed():
        async with testbed.Testbed.on(shared_grid) as bed:
            asked = await bed.owner.ask("get", bed.broker, pubsub.disco("items"))
            return sorted(each.get("node") for each in asked.xml.iterfind(".//{*}item"))

    before = asyncio.run(listed())
    report = conformance.conform_grid(shared_grid)
    found = {row.requirement.id: row.finding.verdict for row in report.rows}
    want = {name: verdicts["prosody"] for name, verdicts in pinned().items() if name in found}
    differ = {name for name in found if found[name] != want[name]}
    assert "controller-checks-revocation" in differ
    assert {row.finding for row in report.rows if row.requirement.id in differ} == {
        Finding("not observable", "the grid gives its Platforms no certificates")
    }
    assert asyncio.run(listed()) == before


@pytest.mark.real
def test_a_grid_that_takes_certificates_only_is_entered_with_them(home):
    options = deployment.Options(certificates=True)
    names = ("publication-delivered", "certificate-accepted", "certificate-and-password")

    async def story(grid):
        async with testbed.Testbed.on(grid) as bed:
            tried = {name: conformance.probes()[name] for name in names}
            return await conformance.try_all(bed, tried)

    topology = topologies.parse(conformance.topology("prosody", platforms=3))
    with deployment.ephemeral(topology, options=options) as grid:
        found = asyncio.run(story(grid))
    assert [found[name].verdict for name in names] == ["pass", "pass", "fail"]
    with pytest.raises(deployment.DeploymentError, match="is not up"):
        conformance.conform_grid(grid)


def attempt(probe):
    return asyncio.run(conformance.attempt(None, probe))


class TestAttempt:
    def test_a_server_that_does_not_answer_fails(self):
        async def probe(_):
            raise Silence("no answer within 4 s to <iq/>")

        assert attempt(probe) == failed("Silence: no answer within 4 s to <iq/>")

    def test_a_probe_without_end_fails_in_time(self, monkeypatch):
        monkeypatch.setattr(conformance, "PROBE_WITHIN_S", 0.05)

        async def probe(_):
            await asyncio.sleep(60)

        assert attempt(probe) == failed("no end within 0.05 s")

    def test_a_probe_s_own_mistake_is_no_verdict(self):
        async def probe(_):
            raise KeyError("typo")

        with pytest.raises(KeyError):
            attempt(probe)


def test_evidence_keeps_the_end_of_long_stanzas():
    text = "<iq>" + "x" * 10_000 + "<error/></iq>"
    assert evidence(text).endswith("<error/></iq>")
    assert len(evidence(text)) < 600


def test_dialogues_are_dialled_on_rails():
    async def story(door):
        await Dialogue.open(door)

    door = Door("192.0.2.1", 5222, 5223, "grid.test", None)
    with pytest.raises(rails.RailsError, match="not a loopback address"):
        asyncio.run(story(door))


def test_counts_are_of_every_verdict():
    rows = tuple(
        Row(each, Finding(verdict, "seen"))
        for each, verdict in zip(requirements(), VERDICTS, strict=False)
    )
    assert Report("x", "1", rows).counts() == dict.fromkeys(VERDICTS, 1)
