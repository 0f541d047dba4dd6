import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from werkzeug.security import check_password_hash

from app.errors import PasswordTooWeakError
from app.services.accounts import passwords as passwords_module
from app.services.accounts.passwords import MAX_HASHED_AT_ONCE, PasswordService


@pytest.mark.parametrize(
    "password",
    [
        "ravine otter lamp 91",
        "mein kleiner grüner kaktus",
        "7#2Kp!94$xQ1",
        "482915730264",
        "四つの無関係な単語を覚えておく",
        "x" * 3 + "y" * 9 + "abcdefgh-q" * 2,
        "otter-91-" * 14,
    ],
)
def test_a_password_that_is_hard_to_guess_is_accepted(
    passwords: PasswordService, password: str
) -> None:
    passwords.check_strength(password, "alice")


@pytest.mark.parametrize(
    ("password", "reason"),
    [
        ("", "at least 12"),
        ("elevenchars", "at least 12"),
        ("x" * 129, "at most 128"),
        ("ravine otter lamp \udcff", "can be typed"),
        ("the Alice in me 91", "your username"),
        ("password1234", "easily guessed"),
        ("P@ssw0rd2026!!", "easily guessed"),
        ("123456789012", "easily guessed"),
        ("qwertyuiop123", "easily guessed"),
        ("aaaaaaaaaaaa", "easily guessed"),
        ("abcabcabcabc", "easily guessed"),
        ("hospital-hospital", "easily guessed"),
        ("            ", "easily guessed"),
        ("1234qwerasdfzxcv", "easily guessed"),  # breached as it is
        ("trustno1trustno1", "easily guessed"),
        ("!!Starwars1977!!", "easily guessed"),
        ("mustang2024!", "easily guessed"),
    ],
)
def test_a_password_that_is_easily_guessed_is_refused(
    passwords: PasswordService, password: str, reason: str
) -> None:
    with pytest.raises(PasswordTooWeakError, match=reason):
        passwords.check_strength(password, "alice")


def test_characters_are_counted_not_bytes(passwords: PasswordService) -> None:
    with pytest.raises(PasswordTooWeakError, match="at least 12"):
        passwords.check_strength("ÄÖÜäöüßéèê", "alice")
    passwords.check_strength("ravineöß" * 16, "alice")


def test_the_password_fits_its_hash_and_no_other(passwords: PasswordService) -> None:
    password_hash = passwords.hash("ravine otter lamp 91")

    assert passwords.is_right("ravine otter lamp 91", password_hash)
    assert not passwords.is_right("ravine otter lamp 92", password_hash)
    assert not passwords.is_right("", password_hash)


def test_two_hashes_of_one_password_differ(passwords: PasswordService) -> None:
    assert passwords.hash("ravine otter lamp 91") != passwords.hash("ravine otter lamp 91")


def test_a_letter_can_be_typed_in_two_ways(passwords: PasswordService) -> None:
    composed, decomposed = "caf\u00e9 ravine otter", "cafe\u0301 ravine otter"

    assert passwords.is_right(decomposed, passwords.hash(composed))


@pytest.mark.parametrize(
    "damaged", ["", "scrypt", "scrypt:a:b:c$x$y", "scrypt:1048576:64:16$x$y", "md6$x$y"]
)
def test_no_password_fits_a_damaged_hash(passwords: PasswordService, damaged: str) -> None:
    assert not passwords.is_right("ravine otter lamp 91", damaged)


def test_nobody_has_a_password(passwords: PasswordService) -> None:
    assert not passwords.is_right("ravine otter lamp 91", None)
    assert not passwords.is_right("nobody has this password", None)


def test_an_endless_password_is_wrong_and_costs_nothing(passwords: PasswordService) -> None:
    assert not passwords.is_right("x" * 10_000_000, passwords.hash("x" * 20))


def test_an_endless_run_of_accents_is_too_long_and_is_not_sorted(
    passwords: PasswordService,
) -> None:
    accents = "\u0316\u0301" * 500_000  # to sort these would take hours

    with pytest.raises(PasswordTooWeakError, match="at most 128"):
        passwords.check_strength(accents, "alice")
    assert not passwords.is_right(accents, passwords.hash("x" * 20))


def test_an_unknown_user_takes_as_long_as_a_wrong_password() -> None:
    passwords = PasswordService()
    password_hash = passwords.hash("ravine otter lamp 91")

    def fastest_of_three(expected: str | None) -> float:
        durations_s = []
        for _ in range(3):
            begin_s = time.thread_time()
            passwords.is_right("something else", expected)
            durations_s.append(time.thread_time() - begin_s)
        return min(durations_s)

    assert fastest_of_three(None) > fastest_of_three(password_hash) / 2


def test_the_default_hash_is_scrypt_at_full_cost() -> None:
    assert PasswordService().hash("x").startswith("scrypt:32768:8:3$")


def test_a_crowd_that_signs_in_at_once_does_not_hash_all_at_once(
    passwords: PasswordService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each hash takes 32 MiB: as many as there are threads would fill a small machine."""
    lock, hashing, most = threading.Lock(), 0, 0

    def counted(expected: str, password: str) -> bool:
        nonlocal hashing, most
        with lock:
            hashing += 1
            most = max(most, hashing)
        time.sleep(0.01)
        try:
            return check_password_hash(expected, password)
        finally:
            with lock:
                hashing -= 1

    monkeypatch.setattr(passwords_module, "check_password_hash", counted)
    stored = passwords.hash("ravine otter lamp 91")

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(passwords.is_right, ["ravine otter lamp 91"] * 32, [stored] * 32))

    assert all(answers)
    assert most <= MAX_HASHED_AT_ONCE


@pytest.mark.parametrize(
    ("password_hash", "is_outdated"),
    [
        ("scrypt:128:8:1$salt$hash", False),
        ("scrypt:64:8:1$salt$hash", True),
        ("pbkdf2:sha256:600000$salt$hash", True),
        ("", True),
    ],
)
def test_a_hash_of_another_method_or_cost_is_outdated(
    passwords: PasswordService, password_hash: str, is_outdated: bool
) -> None:
    assert passwords.is_outdated(password_hash) is is_outdated


def test_a_hash_of_a_former_cost_is_checked_no_faster() -> None:
    former = PasswordService("scrypt:16384:8:1").hash("ravine otter lamp 91")
    passwords = PasswordService("scrypt:16384:8:4")

    def fastest_of_three(expected: str | None) -> float:
        durations_s = []
        for _ in range(3):
            begin_s = time.thread_time()
            passwords.is_right("something else", expected)
            durations_s.append(time.thread_time() - begin_s)
        return min(durations_s)

    assert fastest_of_three(former) > fastest_of_three(None) / 2
    assert passwords.is_right("ravine otter lamp 91", former)
