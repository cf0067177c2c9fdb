"""What a publisher encrypts and its receivers decrypt: for one receiver, or under a shared key.

For one receiver: an ephemeral X25519 key with the receiver's own, HKDF-SHA-256, AES-256-GCM, in the
way of HPKE's base mode (RFC 9180). Under a shared key: AES-256-GCM with a nonce of its own. Both
bind what an item is called, so that none can be passed off as another. All of it is base64 text,
as XML needs it.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from loadtest.problems import LoadError

KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_ONCE: Final = bytes(_NONCE_BYTES)  # a key that is derived for one message needs no other nonce


class Recipient:
    """Who has a key of its own.

    Attributes
    ----------
    public : X25519PublicKey
        What others seal for it with.
    """

    def __init__(self) -> None:
        self._private = X25519PrivateKey.generate()
        self.public = self._private.public_key()

    def opened(self, text: bytes, name: bytes) -> bytes:
        """What was sealed for it under this name.

        Raises
        ------
        LoadError
            It was not, or was changed.
        """
        head, rest = _parted(text, KEY_BYTES, name)
        shared = self._private.exchange(X25519PublicKey.from_public_bytes(head))
        return _decrypted(_derived(shared, head), _ONCE, rest, name)


def sealed_for(public: X25519PublicKey, content: bytes, name: bytes) -> bytes:
    """Content that one receiver can open."""
    ephemeral = X25519PrivateKey.generate()
    head = ephemeral.public_key().public_bytes_raw()
    key = _derived(ephemeral.exchange(public), head)
    return base64.b64encode(head + AESGCM(key).encrypt(_ONCE, content, name))


class SharedKey:
    """A key that several have.

    Parameters
    ----------
    secret : bytes, optional
        Its 32 octets; new ones where they are left out.
    """

    def __init__(self, secret: bytes | None = None) -> None:
        self.secret = secrets.token_bytes(KEY_BYTES) if secret is None else secret

    def sealed(self, content: bytes, name: bytes) -> bytes:
        """Content that whoever has the key can open."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return base64.b64encode(nonce + AESGCM(self.secret).encrypt(nonce, content, name))

    def opened(self, text: bytes, name: bytes) -> bytes:
        """What was sealed under this key and name.

        Raises
        ------
        LoadError
            It was not, or was changed.
        """
        nonce, rest = _parted(text, _NONCE_BYTES, name)
        return _decrypted(self.secret, nonce, rest, name)


def _derived(shared: bytes, head: bytes) -> bytes:
    derivation = HKDF(hashes.SHA256(), KEY_BYTES, salt=None, info=b"urn:gridlab:sealed" + head)
    return derivation.derive(shared)


def _parted(text: bytes, head_bytes: int, name: bytes) -> tuple[bytes, bytes]:
    """What stands before the encrypted octets, and those."""
    try:
        sealed = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise _not_opened(name) from None
    if len(sealed) < head_bytes:
        raise _not_opened(name)
    return sealed[:head_bytes], sealed[head_bytes:]


def _not_opened(name: bytes) -> LoadError:
    return LoadError(f"{name.decode()}: was not sealed with this key, or was changed")


def _decrypted(key: bytes, nonce: bytes, sealed: bytes, name: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, name)
    except InvalidTag:
        raise _not_opened(name) from None
