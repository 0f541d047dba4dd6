"""API tokens: how a secret is made, named and recognised."""

import secrets
from datetime import UTC, datetime
from hashlib import sha256
from uuid import UUID, uuid4

from app.errors import TokenNameInvalidError
from app.records import ApiToken

SECRET_PREFIX = "veriscan_"  # noqa: S105 - so that a secret that leaked is recognised as one
SECRET_BYTES = 32
MAX_NAME_CHARACTERS = 60


def new_token(user_id: UUID, name: str) -> tuple[ApiToken, str]:
    """Return a new token and its secret.

    Raises:
        TokenNameInvalidError: The name is empty or too long (field ``name``).
    """
    name = name.strip()
    if not (0 < len(name) <= MAX_NAME_CHARACTERS and name.isprintable()):
        raise TokenNameInvalidError(MAX_NAME_CHARACTERS)
    secret = SECRET_PREFIX + secrets.token_urlsafe(SECRET_BYTES)
    token = ApiToken(
        id=uuid4(),
        user_id=user_id,
        name=name,
        digest=digest_of(secret),
        created=datetime.now(UTC),
    )
    return token, secret


def digest_of(secret: str) -> str:
    """Return the SHA-256 of a secret, hex.

    A secret has 256 random bits, so that a fast hash without salt cannot be turned round.
    """
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
