"""Accounts and Topics as a topology describes them."""

import base64
import csv
import hashlib
import hmac
import io

import pytest

from loadtest import provisioning


def test_scram_keys_are_those_of_rfc_7677():
    """Section 3: user `user`, password `pencil`; the server checks ClientProof with StoredKey."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    stored_key, server_key = provisioning.derive("pencil", salt, 4096)
    auth_message = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = hmac.digest(server_key, auth_message, "sha256")
    assert base64.b64encode(signature) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client_signature = hmac.digest(stored_key, auth_message, "sha256")
    client_key = bytes(a ^ b for a, b in zip(proof, client_signature, strict=True))
    assert hashlib.sha256(client_key).digest() == stored_key


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
    first, second = provisioning.scram_keys(["pencil", "pencil"])
    assert first.salt != second.salt
    assert first.stored_key != second.stored_key


def test_accounts_are_written_as_csv(small):
    accounts = provisioning.accounts(small, "alpha")
    rows = list(csv.DictReader(io.StringIO(provisioning.accounts_csv(accounts).decode())))
    assert rows == [{"jid": account.jid, "password": account.password} for account in accounts]


@pytest.mark.parametrize(
    ("topic", "whitelist", "persist", "max_items", "publishers", "members"),
    [
        (
            "indicators",
            False,
            False,
            1,
            ("sensor-0@alpha.test",),
            ("tool-0@alpha.test", "tool-1@alpha.test"),
        ),
        ("secrets", True, True, 3, ("sensor-0@alpha.test",), ("insider-0@alpha.test",)),
    ],
)
def test_a_topic_gives_each_population_its_rights(
    small, topic, whitelist, persist, max_items, publishers, members
):
    node = {node.name: node for node in provisioning.nodes(small, "broker")}[topic]
    assert node == provisioning.Node(
        topic, whitelist, persist, max_items, "admin@alpha.test", publishers, members
    )
