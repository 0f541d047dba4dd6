"""What was typed into a form and what is wrong with it."""

from werkzeug.datastructures import MultiDict

from app.errors import (
    EmailInvalidError,
    PasswordsDifferError,
    RegistrationRefusedError,
    SignInFailedError,
)
from app.web.forms import Form

LABELS = {"email": "your e-mail address", "password": "a password", "confirm": "it once more"}


def make_form(**data: str) -> Form:
    return Form(LABELS, MultiDict(data), secret=("password", "confirm"))


def test_spaces_around_a_value_go_except_in_a_password() -> None:
    form = make_form(email=" a@b.org ", password=" secret ")

    assert form["email"] == "a@b.org"
    assert form["password"] == " secret "
    assert form["confirm"] == ""


def test_secrets_and_foreign_fields_are_never_shown_again() -> None:
    assert make_form(email="a@b.org", password="secret", role="admin").values == {
        "email": "a@b.org"
    }


def test_each_missing_value_is_named() -> None:
    form = make_form(email="a@b.org", password="secret")

    assert not form.is_complete()
    assert form.errors == {"confirm": "Enter it once more."}


def test_errors_come_in_the_order_of_the_page() -> None:
    form = make_form()
    form.refuse_for(RegistrationRefusedError([PasswordsDifferError(), EmailInvalidError()]))

    assert list(form.errors) == ["email", "confirm"]


def test_an_error_that_belongs_to_no_field_is_the_forms() -> None:
    form = make_form()
    form.refuse_for(SignInFailedError())
    form.refuse("unknown", "What is that?")

    assert form.errors == {"": "What is that?"}
