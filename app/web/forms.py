"""What somebody typed into a form, and what is wrong with it."""

from collections.abc import Iterable, Mapping

from flask import Response

from app.errors import AccountError, RegistrationRefusedError, TooManyAttemptsError
from app.web.errors import status_of


class Form:
    """The values of one form's fields with the message of each that was refused.

    Args:
        labels: What each field is called in a message, by name, in the order of the page.
        data: What the client sent; values of other fields are ignored.
        secret: Names of fields whose value is taken as it is and never shown again.
    """

    def __init__(
        self,
        labels: Mapping[str, str],
        data: Mapping[str, str] | None = None,
        *,
        secret: Iterable[str] = (),
    ) -> None:
        sent = data or {}
        self._labels = labels
        self._secret = frozenset(secret)
        self._all = {
            name: value if name in self._secret else value.strip()
            for name in labels
            if (value := sent.get(name)) is not None
        }
        self._errors: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        """Return what was typed into a field, an empty string where nothing was."""
        return self._all.get(name, "")

    @property
    def values(self) -> Mapping[str, str]:
        """What may be shown in the fields again."""
        return {name: value for name, value in self._all.items() if name not in self._secret}

    @property
    def errors(self) -> Mapping[str, str]:
        """The message of each refused field, in the order of the page; "" is the whole form."""
        return {name: self._errors[name] for name in ("", *self._labels) if name in self._errors}

    def fill(self, **values: str) -> None:
        """Put into the fields what they are to start from."""
        self._all.update(values)

    def is_complete(self) -> bool:
        """Return whether every field has a value; those that have none get a message."""
        for name, label in self._labels.items():
            if not self[name]:
                self.refuse(name, f"Enter {label}.")
        return not self._errors

    def refuse(self, name: str, message: str) -> None:
        """Note what is wrong with a field; with the form as a whole where ``name`` is empty."""
        self._errors[name if name in self._labels else ""] = message

    def refuse_for(self, error: AccountError) -> None:
        """Note what a service refused, at the fields it belongs to."""
        if isinstance(error, RegistrationRefusedError):
            for name, messages in error.by_field().items():
                self.refuse(name, " ".join(messages))
        else:
            self.refuse(error.field or "", str(error))


def refusal(error: AccountError, page: str) -> Response:
    """Return the page with the form that was refused, with the status that tells the error."""
    response = Response(page, status_of(error))
    if isinstance(error, TooManyAttemptsError):
        response.headers["Retry-After"] = str(error.retry_after_s)
    return response
