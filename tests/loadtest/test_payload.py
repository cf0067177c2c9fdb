"""Payloads have the size that the plan asks for, and are what they say they are."""

import json
import xml.etree.ElementTree as ET

import pytest

from loadtest.payload import MINIMUM_BYTES, Kind, item_id, payload

IODEF = "{urn:ietf:params:xml:ns:iodef-2.0}"
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


def test_iodef_is_a_document_with_all_that_rfc_7970_requires() -> None:
    document = ET.fromstring(payload("iodef", 1600, 42))
    assert (document.tag, document.get("version")) == (f"{IODEF}IODEF-Document", "2.00")
    incident = document[0]
    assert incident.get("purpose") == "reporting"
    assert [child.tag.removeprefix(IODEF) for child in incident] == [
        "IncidentID",
        "GenerationTime",
        "Contact",
        "AdditionalData",
    ]
    assert int(incident[0].text or "") == 42
    assert set(incident[2].attrib) == {"role", "type"}
    assert len(incident[2]) == 1


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
