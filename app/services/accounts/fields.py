"""What may stand in the fields of an account, and in which form it is kept."""

import re
import unicodedata

from app.errors import EmailInvalidError, MobileInvalidError, UsernameInvalidError

USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{2,31}")
# Whether an address exists only a message to it can tell; this finds typing errors.
EMAIL = re.compile(r"[^\s@<>()\[\]\\,;:\"]+@[^\s@<>()\[\]\\,;:\"]+\.[^\s@<>()\[\]\\,;:\".]{2,}")
MAX_EMAIL_CHARACTERS = 254
MAX_CHARACTERS_FOR_ONE = 4  # typed characters that normalisation may join into one
MOBILE = re.compile(r"\+[1-9][0-9]{7,14}")
MOBILE_SEPARATORS = re.compile(r"[\s.()\-‐-–]")


def checked_username(text: str) -> str:
    """Return a username without the spaces around it.

    Raises:
        UsernameInvalidError: It cannot be one.
    """
    username = text.strip()
    if not USERNAME.fullmatch(username):
        raise UsernameInvalidError
    return username


def normalised_email(text: str) -> str:
    """Return an address as it is kept, whether or not it can be one."""
    text = text.strip()
    if len(text) > MAX_EMAIL_CHARACTERS * MAX_CHARACTERS_FOR_ONE:
        # To sort a long run of accents takes time in the square of its length: 100,000 of them
        # would keep every thread of the server waiting for minutes.
        return text
    return unicodedata.normalize("NFKC", text)


def checked_email(text: str) -> str:
    """Return an e-mail address in its usual form.

    Raises:
        EmailInvalidError: It cannot be one.
    """
    email = normalised_email(text)
    if (
        len(email) > MAX_EMAIL_CHARACTERS
        or not email.isprintable()
        or ".." in email
        or not EMAIL.fullmatch(email)
    ):
        raise EmailInvalidError
    return email


def checked_mobile(text: str) -> str:
    """Return a mobile number in E.164 form: ``0049 (151) 234-567`` becomes ``+49151234567``.

    Raises:
        MobileInvalidError: It cannot be one, or lacks its country code.
    """
    # A bracketed zero, as in +49 (0)151, is dialled only inside the country.
    number = MOBILE_SEPARATORS.sub("", text.strip().replace("(0)", ""))
    if number.startswith("00"):
        number = "+" + number.removeprefix("00")
    if not MOBILE.fullmatch(number):
        raise MobileInvalidError
    return number
