"""Ways in: versions and kinds of TLS, mechanisms, certificates; and who stays out."""

import ssl

import pytest
from cryptography import x509
from sessions import Session, play

from loadtest import certificates, deployment

SERVERS = pytest.mark.parametrize("server", ["prosody", "ejabberd"])
VERSIONS = {"TLSv1.2": ssl.TLSVersion.TLSv1_2, "TLSv1.3": ssl.TLSVersion.TLSv1_3}


@pytest.fixture
def deployed(small, small_ejabberd, shelter):
    """Callable: a small grid of the server named, deployed with options."""

    def up(server, **options):
        topology = {"prosody": small, "ejabberd": small_ejabberd}[server]
        return deployment.up(topology, options=deployment.Options(**options))

    return up


async def version_of(grid, account, **how):
    """The TLS version of a session that is let in."""
    async with Session(grid, account, **how) as session:
        return session.client.transport.get_extra_info("ssl_object").version()


async def refusal(grid, account, within_s=10.0, **how):
    """Why a session is not let in; None where it is."""
    session = Session(grid, account, **how)
    session.within_s = within_s
    try:
        async with session:
            return None
    except ConnectionError as reason:
        return str(reason)


@pytest.mark.real
@pytest.mark.parametrize("tls", ["direct", "starttls"])
@pytest.mark.parametrize("version", VERSIONS)
def test_both_kinds_of_tls_in_both_versions(grid_of_each, tls, version):
    _, grid = grid_of_each
    assert play(version_of(grid, "tool-0", tls=tls, version=VERSIONS[version])) == version


@pytest.mark.real
@SERVERS
def test_scram_is_offered_with_the_hash_that_is_stored(deployed, server):
    grid = deployed(server, scram="SHA-1")
    assert play(refusal(grid, "tool-0", mechanism="SCRAM-SHA-1")) is None
    assert play(refusal(grid, "tool-0", mechanism="SCRAM-SHA-256")) is not None


@pytest.mark.real
@SERVERS
def test_a_certificate_lets_in_whom_it_names_and_nobody_else(deployed, server):
    grid = deployed(server, certificates=True)
    own, flawed = grid.certificate("admin@alpha.test"), {}
    for flaw in certificates.FLAWS:
        path = grid.certificate("admin@alpha.test", flaw)
        assert path.stat().st_mode & 0o777 == 0o600
        flawed[flaw] = play(refusal(grid, "admin", 3.0, certificate=path))
    assert play(refusal(grid, "admin", certificate=own)) is None
    assert play(refusal(grid, "admin", certificate=own, tls="starttls")) is None
    assert play(refusal(grid, "tool-0", certificate=own)) == "failed_all_auth"
    if server == "prosody":  # it never answers an expired certificate, and takes no passwords
        assert flawed == dict.fromkeys(certificates.FLAWS, "failed_all_auth") | {
            "expired": "no answer"
        }
        assert play(refusal(grid, "tool-0")) is not None
    else:  # it knows no revocation, and lets one without an account be anyone
        assert flawed == dict.fromkeys(certificates.FLAWS, "failed_all_auth") | {
            "revoked": None,
            "nameless": None,
        }
        assert play(refusal(grid, "tool-0")) is None


@pytest.mark.real
@SERVERS
@pytest.mark.parametrize("flaw", ["expired", "wrong-name", "wrong-authority"])
def test_a_server_with_a_bad_certificate_is_not_trusted(deployed, server, flaw):
    grid = deployed(server, server_certificate=flaw)
    assert play(refusal(grid, "tool-0", tls="starttls")) == "ssl_invalid_chain"


@pytest.mark.real
@SERVERS
def test_messages_wait_for_who_is_not_online(deployed, server):
    grid = deployed(server, offline=True)

    async def story():
        async with Session(grid, "tool-0") as sender:
            sender.client.send_message("tool-1@alpha.test", "for later", mtype="chat")
            await sender.client.plugin["xep_0030"].get_info("alpha.test")  # it is handled by now
        reader = Session(grid, "tool-1")
        waited = reader.client.wait_until("message", 10)
        async with reader:
            return (await waited)["body"]

    assert play(story()) == "for later"


def test_the_revocation_list_names_what_was_revoked_and_is_signed():
    authority = certificates.Authority()
    issued = [authority.issue_platform("tool-0@alpha.test") for _ in range(2)]
    authority.revoke(issued[1])
    serials = [x509.load_pem_x509_certificate(each.pem).serial_number for each in issued]
    revoked = x509.load_pem_x509_crl(authority.revocation_list_pem)
    assert [each.serial_number for each in revoked] == serials[1:]
    key = x509.load_pem_x509_certificate(authority.certificate_pem).public_key()
    assert revoked.is_signature_valid(key)


def test_a_platforms_certificate_names_its_account_however_long():
    account = "a" * 60 + "@" + ".".join(["b" * 60] * 4)
    pem = certificates.Authority().issue_platform(account).certificate_pem
    names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    (name,) = names.value
    assert name.type_id.dotted_string == "1.3.6.1.5.5.7.8.5"
    assert name.value.endswith(account.encode())
    assert name.value[:3] == bytes([0x0C, 0x82, len(account) >> 8])
