"""Accounts and Topics as a topology describes them."""

import base64
import csv
import hashlib
import hmac
import io

import pytest

from loadtest import provisioning

RFC_5802 = (
    "sha1",
    "QSXCR+Q6sek8bf92",
    "fyko+d2lbbFgONRv9qkxdawL",
    "3rfcNHYJY1ZVvWVs7j",
    "v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
    "rmF9pqV8S7suAoZWja4dJRkFsKQ=",
)
RFC_7677 = (
    "sha256",
    "W22ZaJ0SNY7soEsUEjb6gQ==",
    "rOprNGfwEbeRWgbNEkqO",
    "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
    "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
    "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
)


@pytest.mark.parametrize(
    ("name", "salt", "nonce", "server_nonce", "proof", "verifier"),
    [RFC_5802, RFC_7677],
    ids=["RFC 5802 section 5", "RFC 7677 section 3"],
)
def test_scram_keys_are_those_of_the_rfcs(name, salt, nonce, server_nonce, proof, verifier):
    """User `user`, password `pencil`; the server checks ClientProof with StoredKey."""
    stored_key, server_key = provisioning.derive("pencil", base64.b64decode(salt), 4096, name)
    auth_message = (
        f"n=user,r={nonce},r={nonce}{server_nonce},s={salt},i=4096,c=biws,r={nonce}{server_nonce}"
    ).encode()
    signature = hmac.digest(server_key, auth_message, name)
    assert base64.b64encode(signature).decode() == verifier
    client_signature = hmac.digest(stored_key, auth_message, name)
    pairs = zip(base64.b64decode(proof), client_signature, strict=True)
    assert hashlib.new(name, bytes(a ^ b for a, b in pairs)).digest() == stored_key


def test_every_platform_has_an_account_and_a_password_of_its_own(small):
    accounts = provisioning.accounts(small, "alpha")
    assert [account.jid for account in accounts] == [
        "admin@alpha.test",
        "sensor-0@alpha.test",
        "tool-0@alpha.test",
        "tool-1@alpha.test",
        "insider-0@alpha.test",
    ]
    passwords = {account.password for account in accounts}
    assert len(passwords) == 5
    assert min(map(len, passwords)) >= 20
    again = {account.password for account in provisioning.accounts(small, "alpha")}
    assert not passwords & again


def test_equal_passwords_get_different_salts():
    first, second = provisioning.scram_keys(["pencil", "pencil"], "sha256")
    assert first.salt != second.salt
    assert first.stored_key != second.stored_key


def test_accounts_are_written_as_csv(small):
    accounts = provisioning.accounts(small, "alpha")
    rows = list(csv.DictReader(io.StringIO(provisioning.accounts_csv(accounts).decode())))
    assert rows == [{"jid": account.jid, "password": account.password} for account in accounts]


@pytest.mark.parametrize(
    ("topic", "access", "persist", "max_items", "publishers", "members"),
    [
        (
            "indicators",
            "open",
            False,
            1,
            ("sensor-0@alpha.test",),
            ("tool-0@alpha.test", "tool-1@alpha.test"),
        ),
        ("secrets", "whitelist", True, 3, ("sensor-0@alpha.test",), ("insider-0@alpha.test",)),
    ],
)
def test_a_topic_gives_each_population_its_rights(
    small, topic, access, persist, max_items, publishers, members
):
    node = {node.name: node for node in provisioning.nodes(small, "broker")}[topic]
    assert node == provisioning.Node(
        topic, access, persist, max_items, "admin@alpha.test", publishers, members
    )
