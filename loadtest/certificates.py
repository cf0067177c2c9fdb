"""The certificates of a deployment: what servers show, and what Platforms may log in with.

On request every account has one of its own, `certificates/ACCOUNT.pem`, and each Controller's owner
also has flawed ones, `certificates/FLAW/ACCOUNT.pem`, with which nobody should get in. Publishers
that have files to fetch share `files.pem`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from loadtest.authority import Authority, Identity
from loadtest.lease import write_secret
from loadtest.provisioning import Account
from loadtest.server import FILES_FILE, Site

DIRECTORY: Final = "certificates"
FLAWS: Final = ("expired", "revoked", "nameless", "wrong-authority")


def of_server(authority: Authority, site: Site) -> Identity:
    """What a server shows, or what it should not: see `server.Options`."""
    names = [site.domain, *(broker.jid for broker in site.brokers)]
    match site.options.server_certificate:
        case "valid":
            return authority.issue_server(names)
        case "expired":
            return authority.issue_server(names, expired=True)
        case "wrong-name":
            return authority.issue_server(["wrong-name.invalid"])
        case "wrong-authority":
            return Authority().issue_server(names)


def write(directory: Path, authority: Authority, accounts: Iterable[Sequence[Account]]) -> None:
    """Write the certificates of the accounts of each Controller below a grid's directory."""
    base = directory / DIRECTORY
    for place in (base, *(base / flaw for flaw in FLAWS)):
        place.mkdir(mode=0o700)
    for of_controller in accounts:
        for account in of_controller:
            write_secret(base / f"{account.jid}.pem", authority.issue_platform(account.jid).pem)
        owner = of_controller[0].jid
        for flaw in FLAWS:
            write_secret(base / flaw / f"{owner}.pem", _flawed(authority, owner, flaw).pem)


def write_files(directory: Path, authority: Authority, address: str) -> None:
    """Write what Publishers show who fetch files from them, at one address."""
    write_secret(directory / FILES_FILE, authority.issue_address(address).pem)


def _flawed(authority: Authority, account: str, flaw: str) -> Identity:
    match flaw:
        case "expired":
            return authority.issue_platform(account, expired=True)
        case "nameless":
            return authority.issue_platform(account, named=False)
        case "wrong-authority":
            return Authority().issue_platform(account)
    revoked = authority.issue_platform(account)
    authority.revoke(revoked)
    return revoked
