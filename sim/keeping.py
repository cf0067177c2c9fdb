"""Which servers keep copies for Platforms without a session, and how many of them."""

from __future__ import annotations

from topologies.schema import Controller, Offline

EJABBERD_MESSAGES = 100  # `max_user_offline_messages` of the ejabberd.yml that is installed
ENDLESS = 2**62


def keeps(node: Controller) -> bool:
    """Whether copies may go out again, to a session that is resumed or to one that is new."""
    return node.resumption is not None or node.offline is not None


def quota(offline: Offline, server: str) -> int:
    """Copies that a server of this kind stores for one Platform at most."""
    if offline.messages is not None:
        return offline.messages
    return EJABBERD_MESSAGES if server == "ejabberd" else ENDLESS
