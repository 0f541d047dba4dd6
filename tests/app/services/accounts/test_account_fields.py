import pytest

from app.errors import EmailInvalidError, MobileInvalidError, UsernameInvalidError
from app.services.accounts.fields import checked_email, checked_mobile, checked_username


@pytest.mark.parametrize("username", ["bob", "Alice.Miller", "a-b_c.9", "x" * 32, " alice "])
def test_a_username_is_kept_as_typed(username: str) -> None:
    assert checked_username(username) == username.strip()


@pytest.mark.parametrize(
    "username",
    ["", "ab", "x" * 33, "1alice", ".alice", "al ice", "alice@x", "älice", "alice\n\nx", "а" * 4],
)
def test_what_cannot_be_a_username_is_refused(username: str) -> None:
    with pytest.raises(UsernameInvalidError):
        checked_username(username)


@pytest.mark.parametrize(
    "email", ["a@b.org", "first.last+scans@mail.hospital.org", "o'neil@klinik-münchen.de"]
)
def test_an_email_is_kept_as_typed(email: str) -> None:
    assert checked_email(f" {email} ") == email


@pytest.mark.parametrize(
    "email",
    [
        "",
        "alice",
        "alice@",
        "@hospital.org",
        "alice@hospital",
        "alice@hospital.",
        "alice@@hospital.org",
        "alice@hos pital.org",
        "alice@hospital..org",
        "alice@hospital.org\nBcc: x@y.org",
        "<alice@hospital.org>",
        "alice@hospital.org,bob@hospital.org",
        "al\x00ice@hospital.org",
        "al\ud800ice@hospital.org",
        "a" * 250 + "@b.org",
        "a@b.org" + "\u0316\u0301" * 500_000,  # to sort these would take hours
    ],
)
def test_what_cannot_be_an_email_is_refused(email: str) -> None:
    with pytest.raises(EmailInvalidError):
        checked_email(email)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("+4915123456789", "+4915123456789"),
        ("0049 151 234-567 89", "+4915123456789"),
        ("+1 (212) 555.0123", "+12125550123"),
        ("+49 (0)151 23456789", "+4915123456789"),
        (" +44\u00a07911\u2011123456 ", "+447911123456"),
    ],
)
def test_a_mobile_number_is_kept_in_e164(typed: str, kept: str) -> None:
    assert checked_mobile(typed) == kept


@pytest.mark.parametrize(
    "mobile",
    [
        "",
        "0151 23456789",
        "15123456789",
        "+49",
        "+1234567",
        "+1234567890123456",
        "+0151234567",
        "+49 151 CALLME",
        "++4915123456789",
        "+٤٩١٥١٢٣٤٥٦٧٨٩",
        "000000000000",
    ],
)
def test_what_cannot_be_a_mobile_number_is_refused(mobile: str) -> None:
    with pytest.raises(MobileInvalidError):
        checked_mobile(mobile)
