"""Passwords: which are good enough, how they are kept and how they are checked."""

import gzip
import logging
import os
import re
import unicodedata
from functools import cache
from pathlib import Path
from threading import BoundedSemaphore

from werkzeug.security import check_password_hash, generate_password_hash

from app.errors import AccountError, PasswordsDifferError, PasswordTooWeakError

MIN_CHARACTERS = 12
MAX_CHARACTERS = 128
COMMON_WORDS = Path(__file__).with_name("common_passwords.txt")
# The passwords most often found in breaches, one a line, in lower case: the list that Django ships
# (BSD licence), which Royce Williams drew from "Have I Been Pwned".
BREACHED_PASSWORDS = Path(__file__).with_name("breached_passwords.txt.gz")
# Normalisation joins up to four typed characters into one. To sort a long run of accents it takes
# time in the square of its length, in which no other thread runs.
MAX_TYPED_CHARACTERS = MAX_CHARACTERS * 4
MIN_OWN_CHARACTERS = 6
# 32 MiB and some 150 ms a guess; of equal strength with the others that OWASP's cheat sheet on
# storing passwords gives for scrypt. Hashes of another cost are replaced when their user signs in.
HASH_METHOD = "scrypt:32768:8:3"
SCRYPT = re.compile(r"(scrypt:\d+:\d+):(\d+)")
MAX_HASHED_AT_ONCE = os.cpu_count() or 1  # more would only take memory from each other
DECORATIONS = "0123456789!?.@#$* "
MAX_DECORATION_CHARACTERS = 8  # more of them are a secret of their own
REPEATED = re.compile(r"(.+?)\1+", re.DOTALL)
LOOK_ALIKES = str.maketrans("013457@$!", "oieastasi")

log = logging.getLogger(__name__)


class PasswordService:
    """Hashes and checks passwords.

    Args:
        method: Werkzeug's name of the hash and its cost. Only tests use a cheaper one.
    """

    def __init__(self, method: str = HASH_METHOD) -> None:
        self._method = method
        self._hashing = BoundedSemaphore(MAX_HASHED_AT_ONCE)
        # Made now, so that the first unknown user does not take longer than the next.
        self._nobodys_hash = _nobodys_hash(method)

    def check_strength(self, password: str, username: str) -> None:
        """Refuse a password that is easily guessed.

        Length counts for more than kinds of characters, so none are demanded (NIST SP 800-63B).

        Raises:
            PasswordTooWeakError: It is too short or too long, contains the username or is a
                common or breached one with decorations.
        """
        is_endless = len(password) > MAX_TYPED_CHARACTERS
        characters = len(password) if is_endless else len(_normalised(password))
        if characters < MIN_CHARACTERS:
            raise PasswordTooWeakError(
                f"Use at least {MIN_CHARACTERS} characters. A few unrelated words are easy to "
                "remember."
            )
        if characters > MAX_CHARACTERS:
            raise PasswordTooWeakError(f"Use at most {MAX_CHARACTERS} characters.")
        if any("\ud800" <= character <= "\udfff" for character in password):
            # A terminal or a pipe in another encoding than UTF-8.
            raise PasswordTooWeakError("Use characters that can be typed on a sign-in page.")
        if username and username.casefold() in password.casefold():
            raise PasswordTooWeakError("Use a password that does not contain your username.")
        if _is_common(password) or _is_breached(password):
            raise PasswordTooWeakError(
                "This password is easily guessed. Use a few unrelated words instead."
            )

    def refusals(self, password: str, confirm: str, username: str) -> list[AccountError]:
        """Return all that is wrong with a new password and its repetition."""
        refused: list[AccountError] = []
        try:
            self.check_strength(password, username)
        except AccountError as error:
            refused.append(error)
        if password != confirm:
            refused.append(PasswordsDifferError())
        return refused

    def hash(self, password: str) -> str:
        """Return a salted hash that names its own method and cost."""
        with self._hashing:
            return generate_password_hash(_normalised(password), method=self._method)

    def is_right(self, password: str, password_hash: str | None) -> bool:
        """Return whether this is the password of the hash.

        Args:
            password: As typed.
            password_hash: None where there is no such user; the answer is False then, and takes
                as long as it would for a user that exists.
        """
        if len(password) > MAX_TYPED_CHARACTERS:  # no password of ours
            password, password_hash = "", None
        expected = self._nobodys_hash if password_hash is None else password_hash
        try:
            with self._hashing:
                matches = check_password_hash(expected, _normalised(password))
                self._spend_the_rest(expected)
        except ValueError:  # the hash in the accounts file was damaged by hand
            log.error("A stored password hash cannot be read; its user cannot sign in.")
            return False
        return matches and password_hash is not None

    def is_outdated(self, password_hash: str) -> bool:
        """Return whether a hash was made by another method or at another cost than new ones."""
        return password_hash.partition("$")[0] != self._method

    def _spend_the_rest(self, password_hash: str) -> None:
        """Take the time by which a hash of a former version is checked faster than a new one.

        Otherwise the time would tell that there is such a user.
        """
        former = SCRYPT.fullmatch(password_hash.partition("$")[0])
        present = SCRYPT.fullmatch(self._method)
        if former and present and former[1] == present[1]:
            rest = int(present[2]) - int(former[2])
            if rest > 0:
                generate_password_hash("", method=f"{present[1]}:{rest}")


@cache
def _nobodys_hash(method: str) -> str:
    return generate_password_hash("nobody has this password", method=method)


def _normalised(password: str) -> str:
    """Return the one form of characters that can be typed in two ways, such as é."""
    return unicodedata.normalize("NFC", password)


def _is_common(password: str) -> bool:
    """Return whether little is left of a password without its common part and repetitions."""
    folded = password.casefold()
    undecorated = folded.strip(DECORATIONS).translate(LOOK_ALIKES)
    forms = (folded, re.sub(r"[\W_]+", "", folded), re.sub(r"[\W_]+", "", undecorated))
    return any(_is_easily_guessed(form) for form in forms)


def _is_easily_guessed(text: str) -> bool:
    left = text
    for word in _common_words():
        left = left.replace(word, "")
    # One unit over and over, such as "abcabcabcabc", counts once.
    repeated = REPEATED.fullmatch(left)
    own = repeated[1] if repeated else left
    return own != text and len(own) < MIN_OWN_CHARACTERS


def _is_breached(password: str) -> bool:
    """Return whether a password, or its part without digits and signs around it, was breached."""
    folded = password.casefold()
    plain = folded.strip(DECORATIONS)
    forms = [folded]
    if len(folded) - len(plain) <= MAX_DECORATION_CHARACTERS:
        forms += [plain, plain.translate(LOOK_ALIKES)]
    repeated = [found[1] for form in forms if (found := REPEATED.fullmatch(form))]
    return not _breached_passwords().isdisjoint(forms + repeated)


@cache
def _breached_passwords() -> frozenset[str]:
    with gzip.open(BREACHED_PASSWORDS, "rt", encoding="utf-8") as file:
        return frozenset(file.read().split())


@cache
def _common_words() -> tuple[str, ...]:
    """Return common passwords and the words they are made of, the longest first."""
    words = COMMON_WORDS.read_text(encoding="utf-8").split()
    return tuple(sorted(words, key=len, reverse=True))
