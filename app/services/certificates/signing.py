"""Signing with the key of this installation (Ed25519, RFC 8032), and checking what it signed.

A signature names its key, and every public key is kept: what an old key signed stays genuine
after a new one has taken its place, unless the old one was withdrawn.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from app.errors import SigningKeyError
from app.storage.signing_key import PrivateKeyFile, PublicKey, PublicKeyStore

KEY_ID_CHARACTERS = 16
SIGNATURE_CHARACTERS = 128


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that signs at present.

    Attributes:
        key_id: What signed documents call it.
    """

    key_id: str
    _private: Ed25519PrivateKey

    def sign(self, message: bytes) -> str:
        """Return the signature of a message: 64 bytes as 128 lower-case hex digits."""
        return self._private.sign(message).hex()


class SigningService:
    """Holds the keys of this installation; the first one is made on the first start.

    The private key is read anew for each signature, so a new one counts at once, without a
    restart and whichever process changed it.

    Args:
        private: Where the private key is.
        public: Where the public keys are kept.

    Raises:
        SigningKeyError: The file holds no Ed25519 key.
        StorageError: The key cannot be read, or not be written where there is none yet.
    """

    def __init__(self, private: PrivateKeyFile, public: PublicKeyStore) -> None:
        self._private = private
        self._public = public
        self._kept: set[str] = set()
        self.signer()

    def signer(self) -> Signer:
        """Return the key that signs at present; its public half is on record from here on.

        Raises:
            SigningKeyError: The file holds no Ed25519 key.
            StorageError: The key cannot be read, or its public half not be kept.
        """
        private = _private_key(self._private.read_or_make(_new_pem))
        raw = private.public_key().public_bytes_raw()
        key_id = sha256(raw).hexdigest()[:KEY_ID_CHARACTERS]
        if key_id not in self._kept:
            self._public.add(
                PublicKey(id=key_id, public_key=raw.hex(), first_used=datetime.now(UTC))
            )
            self._kept.add(key_id)
        return Signer(key_id, private)

    @property
    def installation(self) -> str:
        """What names this installation in its certificates: the id of its very first key."""
        return self._public.all()[0].id

    def public_keys(self) -> list[PublicKey]:
        """Return every key that this installation ever signed with, oldest first."""
        return self._public.all()

    def find_key(self, key_id: str) -> PublicKey | None:
        """Return a key of this installation, or None where it has none of this id."""
        return self._public.find(key_id)

    def rotate(self, *, withdraw: bool = False) -> str:
        """Sign with a new key from now on; return its id.

        Args:
            withdraw: Whether the present key is not to be trusted any more, because somebody
                else may have it.

        Raises:
            SigningKeyError: The key comes from a file of the operator's, who has to replace it.
        """
        if self._private.is_given:
            raise SigningKeyError(
                "it comes from VERISCAN_SIGNING_KEY_FILE: put another key into that file instead"
            )
        if withdraw:  # first: broken off after it, the next time would withdraw the new one
            self._public.withdraw(self.signer().key_id)
        self._private.replace(_new_pem())
        return self.signer().key_id


def is_signed_by(key: PublicKey, signature: str, message: bytes) -> bool:
    """Return whether a signature, as ``Signer.sign`` writes it, is a key's own on a message."""
    if len(signature) != SIGNATURE_CHARACTERS or set(signature) - set("0123456789abcdef"):
        return False  # another spelling of the same number is a change, too
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public_key))
    try:
        public.verify(bytes.fromhex(signature), message)
    except InvalidSignature:
        return False
    return True


def public_pem(key: PublicKey) -> bytes:
    """Return a public key as PEM, as ``openssl pkeyutl -verify`` takes it."""
    public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.public_key))
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _new_pem() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )


def _private_key(pem: bytes) -> Ed25519PrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:  # TypeError: it is locked with a password
        raise SigningKeyError("the file holds no private key in PEM without a password") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningKeyError("the file holds a key of another kind than Ed25519")
    return key
