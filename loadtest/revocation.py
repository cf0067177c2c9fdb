"""Taking a Platform's rights back for good: on neither server does one step do it.

An affiliation alone leaves the subscription, through which items are still delivered; ending both
leaves the session, which may go on with what it holds. So all three are ended: affiliation,
subscription, session (XEP-0060 sections 8.8 and 8.9, XEP-0133 section 4.6).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from loadtest import provisioning, pubsub
from loadtest.dialogue import Dialogue, Door
from loadtest.problems import DeploymentError

if TYPE_CHECKING:
    from loadtest.grid import Grid

_COMMANDS: Final = "http://jabber.org/protocol/commands"
_ADMIN: Final = "http://jabber.org/protocol/admin"


@dataclass
class Revocation:
    """What was taken from an account.

    Attributes
    ----------
    topics : int
        Topics on which it is an outcast now. [1]
    subscriptions : int
        Subscriptions of it that were ended. [1]
    sessions_ended : bool
        Whether its server was told to end its sessions.
    """

    topics: int = 0
    subscriptions: int = 0
    sessions_ended: bool = False

    def document(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return asdict(self)


def revoke(grid: Grid, account: str) -> Revocation:
    """Take all rights of a bare JID on all Topics of a grid, and end its sessions.

    Raises
    ------
    DeploymentError
        The grid does not know the account, a Broker leaves it a right, or its sessions cannot be
        ended: the grid was deployed without administration.
    """
    if account not in grid.credentials():
        raise DeploymentError(
            f'grid "{grid.name}": has no account {account}; see its accounts_file'
        )
    return asyncio.run(_revoke(grid, account))


async def _revoke(grid: Grid, account: str) -> Revocation:
    document, done = grid.document(), Revocation()
    for served in document["controllers"].values():
        owner = await _owner(grid, served)
        try:
            for broker in document["brokers"].values():
                if broker.endswith(f".{served['domain']}"):
                    await _shut_out(owner, broker, account, done)
            if account.endswith(f"@{served['domain']}"):
                await end_sessions(owner, served["domain"], account)
                done.sessions_ended = True
        finally:
            await owner.leave()
    return done


async def _owner(grid: Grid, served: dict[str, Any]) -> Dialogue:
    import ssl

    context = ssl.create_default_context(cafile=served["ca_file"])
    ports = served["port"], served["direct_tls_port"]
    door = Door(served["address"], *ports, served["domain"], context)
    account = f"{provisioning.OWNER}@{served['domain']}"
    stream = await Dialogue.open(door)
    await stream.authenticate(provisioning.OWNER, grid.credentials()[account])
    return await stream.bind("gridlab-revoke")


async def _shut_out(owner: Dialogue, broker: str, account: str, done: Revocation) -> None:
    for topic in await _topics(owner, broker):
        found = await owner.ask("get", broker, pubsub.ask_owner("subscriptions", topic))
        held = [
            jid
            for each in found.xml.iter(f"{{{pubsub.OWNER}}}subscription")
            if (jid := each.get("jid", "")).partition("/")[0] == account
        ]
        for jid in held:  # first: an outcast's can no longer be ended on every server
            await owner.ask("set", broker, pubsub.set_subscription(topic, jid, "none"))
        await owner.ask("set", broker, pubsub.affiliate(topic, account, "outcast"))
        await _verify(owner, broker, topic, account)
        done.topics += 1
        done.subscriptions += len(held)


async def _topics(owner: Dialogue, broker: str) -> list[str]:
    """All Topics of a Broker: those that it lists, and, as ejabberd cuts its list at a hundred in
    silence, those that the owner has a right on."""
    listed = await owner.ask("get", broker, f"<query xmlns='{pubsub.DISCO}#items'/>")
    own = await owner.ask("get", broker, pubsub.ask("affiliations"))  # Prosody knows no such query
    found = [each.get("node") for each in listed.xml.iter(f"{{{pubsub.DISCO}#items}}item")]
    found += [each.get("node") for each in own.xml.iter(f"{{{pubsub.PUBSUB}}}affiliation")]
    return list(dict.fromkeys(filter(None, found)))


async def _verify(owner: Dialogue, broker: str, topic: str, account: str) -> None:
    """Look whether it is so: Prosody says `forbidden` to a change that it makes, for one."""
    rights = await owner.ask("get", broker, pubsub.ask_owner("affiliations", topic))
    right = {
        each.get("jid"): each.get("affiliation")
        for each in rights.xml.iter(f"{{{pubsub.OWNER}}}affiliation")
    }
    if right.get(account) != "outcast":
        raise DeploymentError(
            f'{broker}: {account} could not be made an outcast on the Topic "{topic}" (it is '
            f'"{right.get(account, "none")}"); end the grid, or ask again as its owner'
        )


async def end_sessions(owner: Dialogue, domain: str, account: str) -> None:
    """End all sessions of an account (XEP-0133 section 4.6).

    Raises
    ------
    DeploymentError
        The server does not do that for the owner.
    """
    await _administer(owner, domain, "end-user-session", {
        "accountjids": account,  # as Prosody calls it
        "accountjid": account,  # as ejabberd does, and the extension
    })  # fmt: skip


async def change_password(owner: Dialogue, domain: str, account: str, password: str) -> None:
    """Give an account another password (XEP-0133 section 4.5).

    Raises
    ------
    DeploymentError
        The server does not do that for the owner.
    """
    fields = {"accountjid": account, "password": password}
    await _administer(owner, domain, "change-user-password", fields)


async def _administer(
    owner: Dialogue, domain: str, command_name: str, values: Mapping[str, str]
) -> None:
    """One command of a server's administration, with its form filled in."""
    head = f"<command xmlns='{_COMMANDS}' node='{_ADMIN}#{command_name}'"
    begun = await owner.ask("set", domain, f"{head} action='execute'/>")
    command = begun.xml.find(f"{{{_COMMANDS}}}command")
    if not begun.ok or command is None:
        raise DeploymentError(
            f"{domain}: does not do {command_name} on request ({begun.text}); deploy the grid "
            "with Options(administration=True)"
        )
    fields = "".join(
        f"<field var='{name}'><value>{value}</value></field>"
        for name, value in {"FORM_TYPE": _ADMIN, **values}.items()
    )
    form = f"<x xmlns='{pubsub.FORM}' type='submit'>{fields}</x>"
    session = command.get("sessionid", "")
    await owner.ask("set", domain, f"{head} sessionid='{session}'>{form}</command>")
