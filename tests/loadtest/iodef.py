"""RFC 7970 as far as the lab's documents go: what each class may hold, in which order, how often.

No package has the schema of its section 8, so its content models are written down here, each with
its section; whatever is not written down is refused.
"""

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field

NAMESPACE = "urn:ietf:params:xml:ns:iodef-2.0"
LANG = "{http://www.w3.org/XML/1998/namespace}lang"


@dataclass(frozen=True)
class Content:
    """One class: its children in order with (least, most), its attributes with their values."""

    children: tuple[tuple[str, int, float], ...] = ()
    required: dict[str, str] = field(default_factory=dict)
    optional: dict[str, str] = field(default_factory=dict)
    text: str | None = None


_MANY = float("inf")
_RESTRICTION = "public|partner|need-to-know|private|default|white|green|amber|red|ext-value"
_DATE_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
CLASSES = {
    "IODEF-Document": Content(  # section 3.1
        (("Incident", 1, _MANY), ("AdditionalData", 0, _MANY)),
        {"version": r"2\.00", LANG: "[A-Za-z]{2,3}(-[A-Za-z0-9]+)*"},
        {"format-id": ".*"},
    ),
    "Incident": Content(  # section 3.2
        (
            *(("IncidentID", 1, 1), ("AlternativeID", 0, 1), ("RelatedActivity", 0, _MANY)),
            *((name, 0, 1) for name in ("DetectTime", "StartTime", "EndTime", "RecoveryTime")),
            *(("ReportTime", 0, 1), ("GenerationTime", 1, 1)),
            *((name, 0, _MANY) for name in ("Description", "Discovery", "Assessment", "Method")),
            *(("Contact", 1, _MANY), ("EventData", 0, _MANY), ("IndicatorData", 0, 1)),
            *(("History", 0, 1), ("AdditionalData", 0, _MANY)),
        ),
        {"purpose": "traceback|mitigation|reporting|watch|other|ext-value"},
        {"status": ".*", LANG: ".*", "restriction": _RESTRICTION, "observable-id": ".*"},
    ),
    "IncidentID": Content((), {"name": ".+"}, {"instance": ".*"}, ".+"),  # section 3.4
    "GenerationTime": Content(text=_DATE_TIME),  # sections 2.7, 3.2
    "Contact": Content(  # section 3.9
        (
            *((name, 0, _MANY) for name in ("ContactName", "ContactTitle", "Description")),
            *((name, 0, _MANY) for name in ("RegistryHandle", "PostalAddress", "Email")),
            *(("Telephone", 0, _MANY), ("Timezone", 0, 1), ("Contact", 0, _MANY)),
            ("AdditionalData", 0, _MANY),
        ),
        {
            "role": "creator|reporter|admin|tech|provider|user|billing|legal|irt|abuse|cc|cc-irt|"
            "leo|vendor|vendor-support|victim|victim-notified|ext-value",
            "type": "person|organization|ext-value",
        },
        {"restriction": _RESTRICTION},
    ),
    "ContactName": Content(optional={LANG: ".*", "translation-id": ".*"}, text=".+"),  # 3.9
    "AdditionalData": Content(  # section 2.16
        (),
        {
            "dtype": "boolean|byte|bytes|character|date-time|ntpstamp|integer|portlist|real|string|"
            "file|path|frame|packet|ipv4-packet|ipv6-packet|url|csv|winreg|xml|ext-value"
        },
        {"name": ".*", "meaning": ".*", "restriction": _RESTRICTION},
        ".*",
    ),
}


def flaws(document: ET.Element) -> list[str]:
    """What a document has that its class does not allow, or lacks; empty for a valid one."""
    name = document.tag.removeprefix(f"{{{NAMESPACE}}}")
    if name not in CLASSES or not document.tag.startswith("{"):
        return [f"{document.tag}: no class of RFC 7970 that is known here"]
    content, found = CLASSES[name], []
    allowed = content.required | content.optional
    found += [f"{name}: lacks {each}" for each in content.required if each not in document.attrib]
    for key, value in document.attrib.items():
        if not re.fullmatch(allowed.get(key, "(?!)"), value):
            found.append(f"{name}: {key}={value!r}")
    children = [child.tag.removeprefix(f"{{{NAMESPACE}}}") for child in document]
    order = [child for child, _, _ in content.children]
    if any(child not in order for child in children):
        return [*found, f"{name}: holds {children}"]
    if [order.index(child) for child in children] != sorted(map(order.index, children)):
        found.append(f"{name}: order of {children}")
    for child, least, most in content.children:
        if not least <= children.count(child) <= most:
            found.append(f"{name}: {children.count(child)} times {child}")
    if not re.fullmatch(content.text or r"\s*", document.text or "", re.S):
        found.append(f"{name}: text {(document.text or '')[:40]!r}")
    return found + [flaw for child in document for flaw in flaws(child)]
