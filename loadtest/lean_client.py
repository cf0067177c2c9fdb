"""slixmpp's client, without what it does for each session anew, and what no session here needs.

What a session says and understands stays slixmpp's. Closed here, for all clients of the process:
PBKDF2 in a Python loop, stringprep of plain words and of the same words again, text that is escaped
character by character, features that are set to what they are, a parse of the same path for each
stanza, stanza classes that are told again what they are made of. And for a `LeanClient`: features
that it does not use, a search among all kinds of stanzas for each of them, and a turn of the event
loop for each stanza that it sends.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib
import inspect
import re
import xml.etree.ElementTree as ET
from typing import Any, Final

from slixmpp import ClientXMPP, basexmpp
from slixmpp.roster import Roster
from slixmpp.stanza import Presence, StreamFeatures
from slixmpp.util.sasl import client
from slixmpp.util.sasl.mechanisms import SCRAM
from slixmpp.xmlstream import ElementBase, StanzaBase, register_stanza_plugin
from slixmpp.xmlstream.matcher import MatchXPath, StanzaPath
from slixmpp.xmlstream.tostring import tostring

UNUSED: Final = ("feature_rosterver", "feature_preapproval", "feature_limits")
_FEATURES: Final = ("bind", "mechanisms", "session", "starttls")
_LOOK_FOR_COROUTINES: Final = ("clientxmpp", "stanza.iq", "xmlstream.xmlstream")
_NAME: Final = re.compile(r"(?:\{[^{}]*\})?[\w.-]+")
_ESCAPED: Final = re.compile("[&<>'\"]")
_TOSTRING: Final = vars(importlib.import_module("slixmpp.xmlstream.tostring"))
_SENDING_FILTERS: Final = ("out", "out_sync", "out_sce")


@functools.lru_cache(maxsize=20_000)
def salted_password(name: str, password: bytes, salt: bytes, iterations: int) -> bytes:
    """SaltedPassword of RFC 5802 section 3, Hi(): PBKDF2 with HMAC and the hash `name`."""
    return hashlib.pbkdf2_hmac(name, password, salt, iterations)


def _hi(mechanism: Any, text: bytes, salt: bytes, iterations: int) -> bytes:
    return salted_password(mechanism.hash().name, bytes(text), bytes(salt), iterations)


@functools.lru_cache(maxsize=20_000)
def _saslprep(text: str, in_full: Any = client.saslprep) -> str:
    """The profile of RFC 4013, which leaves printable ASCII as it is."""
    plain = text and text.isascii() and text.isprintable()
    return text if plain else str(in_full(text))


def _escape(text: str, use_cdata: bool = False, in_full: Any = _TOSTRING["escape"]) -> str:
    """What slixmpp does, character by character only where there is one to escape."""
    return str(in_full(text, use_cdata)) if _ESCAPED.search(text) else text


def _is_coroutine_function(handler: Any) -> bool:
    """What `inspect` finds by a longer way for all that is no function or method."""
    code = getattr(handler, "__code__", None)
    flags: int = getattr(code, "co_flags", 0)
    return bool(flags & inspect.CO_COROUTINE) if code else inspect.iscoroutinefunction(handler)


def _setup(features: Any, xml: ET.Element | None = None) -> bool:
    """What slixmpp does, without setting each of the features' values to itself afterwards."""
    return bool(StanzaBase.setup(features, xml))


def _register(
    stanza: type[ElementBase],
    plugin: type[ElementBase],
    iterable: bool = False,
    overrides: bool = False,
) -> None:
    """Register a plugin of a stanza, unless it is: that makes all that is known of a class void."""
    own, tag = vars(stanza), f"{{{plugin.namespace}}}{plugin.name}"
    by_tag = own.get("plugin_tag_map", {}).get(tag)
    by_name = own.get("plugin_attrib_map", {}).get(plugin.plugin_attrib)
    if iterable or overrides or by_tag is not plugin or by_name is not plugin:
        register_stanza_plugin(stanza, plugin, iterable, overrides)


@functools.lru_cache(maxsize=1_000)
def _outermost(path: str) -> tuple[str | None, bool]:
    """The name that a path begins with, None where that is a pattern, and whether it is all."""
    name = _NAME.match(path)
    if name is None or path[name.end() : name.end() + 1] not in ("", "/"):
        return None, False
    return name[0], name.end() == len(path)


def _match(matcher: Any, stanza: StanzaBase, in_full: Any = MatchXPath.match) -> bool:
    """What slixmpp does, looking at the stanza's own name first: most handlers are for another."""
    name, is_all = _outermost(matcher._criteria)
    if name is not None and (is_all or stanza.xml.tag != name):
        return bool(stanza.xml.tag == name)
    return bool(in_full(matcher, stanza))


def _match_path(matcher: Any, stanza: StanzaBase) -> bool:
    """What slixmpp does, without taking the same path to pieces again and trying it twice."""
    return bool(stanza.match(matcher._criteria))


SCRAM.Hi = _hi
client.saslprep = _saslprep
_TOSTRING["escape"] = _escape
StreamFeatures.setup = _setup
MatchXPath.match, StanzaPath.match = _match, _match_path
for _each in _FEATURES:
    _module = importlib.import_module(f"slixmpp.features.feature_{_each}.{_each}")
    vars(_module)["register_stanza_plugin"] = _register
basexmpp.register_stanza_plugin = _register
for _each in _LOOK_FOR_COROUTINES:
    vars(importlib.import_module(f"slixmpp.{_each}"))["iscoroutinefunction"] = (
        _is_coroutine_function
    )


class _Outbox(asyncio.Queue[Any]):
    """What a client sends: at once, where no filter has to see it and nothing waits before it."""

    def __init__(self, owner: LeanClient) -> None:
        super().__init__()
        self._owner = owner

    def put_nowait(self, item: tuple[StanzaBase | str, bool]) -> None:
        data, owner = item[0], self._owner
        waits = self._unfinished_tasks or owner.filtered or owner.transport is None  # type: ignore[attr-defined]
        if waits or not isinstance(data, StanzaBase) or isinstance(data, Presence):
            super().put_nowait(item)
        else:
            text = tostring(data.xml, xmlns=owner.default_ns, stream=owner, top_level=True)
            owner.send_raw(text)


class LeanClient(ClientXMPP):  # type: ignore[misc]
    """A client of slixmpp's.

    Attributes
    ----------
    filtered : bool
        Whether filters other than slixmpp's own, which is for presence, see what is sent.
    """

    def __init__(self, *arguments: Any, **more: Any) -> None:
        self._kinds: dict[str, type[StanzaBase]] = {}
        self.filtered = False
        super().__init__(*arguments, **more)
        self.waiting_queue = _Outbox(self)

    def register_plugin(self, plugin: str, *arguments: Any, **more: Any) -> None:
        """Register a plugin, but none of the `UNUSED` ones."""
        if plugin not in UNUSED:
            super().register_plugin(plugin, *arguments, **more)

    def add_filter(self, mode: str, handler: Any, order: int | None = None) -> None:
        """Let a filter see what is received or sent."""
        super().add_filter(mode, handler, order)
        foreign = not isinstance(getattr(handler, "__self__", None), Roster)
        self.filtered = self.filtered or (foreign and mode in _SENDING_FILTERS)

    def register_stanza(self, stanza_class: type[StanzaBase]) -> None:
        """Make a kind of stanza known."""
        super().register_stanza(stanza_class)
        self._kinds.setdefault(stanza_class.tag_name(), stanza_class)

    def remove_stanza(self, stanza_class: type[StanzaBase]) -> None:
        """Forget a kind of stanza."""
        super().remove_stanza(stanza_class)
        self._kinds.pop(stanza_class.tag_name(), None)

    def _build_stanza(self, xml: ET.Element, default_ns: str | None = None) -> StanzaBase:
        kind = self._kinds.get(xml.tag) if default_ns is None else None
        if kind is None:
            return super()._build_stanza(xml, default_ns)
        return kind(self, xml, recv=True)
