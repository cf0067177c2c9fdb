"""Payloads have the size that the plan asks for, and are what they say they are."""

import json
import xml.etree.ElementTree as ET

import pytest
from iodef import flaws

from loadtest.payload import MINIMUM_BYTES, Kind, item_id, payload

KINDS: tuple[Kind, ...] = ("iodef", "json", "opaque")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("beyond", [0, 1, 2, 547, 1600, 200_000])
@pytest.mark.parametrize("publication", [0, 7, 9_999_999_999])
def test_payload_has_the_size_asked_for(kind: Kind, beyond: int, publication: int) -> None:
    size_bytes = MINIMUM_BYTES[kind] + beyond
    assert len(payload(kind, size_bytes, publication)) == size_bytes


@pytest.mark.parametrize("kind", KINDS)
def test_payload_below_the_minimum_is_the_smallest_possible(kind: Kind) -> None:
    assert len(payload(kind, 1, 5)) == MINIMUM_BYTES[kind]


@pytest.mark.parametrize("size_bytes", [1, 700, 1600, 100_000])
def test_iodef_is_valid_by_the_classes_of_rfc_7970(size_bytes: int) -> None:
    document = ET.fromstring(payload("iodef", size_bytes, 42))
    assert flaws(document) == []
    assert int(document[0][0].text or "") == 42


@pytest.mark.parametrize(
    ("before", "after", "flaw"),
    [
        (b" version='2.00'", b"", "IODEF-Document: lacks version"),
        (b"purpose='reporting'", b"purpose='fun'", "Incident: purpose='fun'"),
        (b"<ContactName>Grid</ContactName>", b"<Name/>", "Contact: holds ['Name']"),
        (b" dtype='string'", b"", "AdditionalData: lacks dtype"),
        (b"2026-01-01T00:00:00Z", b"today", "GenerationTime: text 'today'"),
        (b" name='grid.test'", b"", "IncidentID: lacks name"),
    ],
)
def test_each_flaw_is_seen(before: bytes, after: bytes, flaw: str) -> None:
    document = payload("iodef", 700, 42)
    assert before in document
    assert flaw in flaws(ET.fromstring(document.replace(before, after)))


def test_json_container_holds_json() -> None:
    container = ET.fromstring(payload("json", 300, 42))
    assert container.tag == "{urn:xmpp:json:0}json"
    assert json.loads(container.text or "")["publication"] == 42


def test_opaque_carries_the_number_first() -> None:
    data = ET.fromstring(payload("opaque", 100, 42))
    assert int((data.text or "")[:10]) == 42


def test_minimum_sizes_are_as_documented() -> None:
    assert MINIMUM_BYTES == {"iodef": 382, "json": 73, "opaque": 50}


def test_item_id_carries_run_and_publication() -> None:
    assert item_id("r7f", 12) == "r7f-12"
