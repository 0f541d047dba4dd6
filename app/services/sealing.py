"""Encrypts small secrets that are stored, with a key drawn from the installation's secret key."""

import base64

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from app.errors import SealBrokenError

KEY_BYTES = 32


class Sealer:
    """Encrypts and authenticates text (Fernet: AES-128-CBC with HMAC-SHA256).

    Args:
        secret_key: Of the installation. With another one, nothing sealed before can be opened.
        purpose: Keys for different purposes have nothing to do with each other.
    """

    def __init__(self, secret_key: str, purpose: str) -> None:
        derivation = HKDF(algorithm=SHA256(), length=KEY_BYTES, salt=None, info=purpose.encode())
        self._fernet = Fernet(base64.urlsafe_b64encode(derivation.derive(secret_key.encode())))

    def seal(self, text: str) -> str:
        """Return text that only this key can open."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, sealed: str) -> str:
        """Return what was sealed.

        Raises:
            SealBrokenError: It was sealed with another key, or changed.
        """
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken as error:
            raise SealBrokenError from error
