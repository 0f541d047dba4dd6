"""What a script sent: refused with a sentence where it cannot be, and never guessed at."""

from collections.abc import Callable, Collection
from enum import StrEnum
from typing import TypeVar

from flask import request
from werkzeug.exceptions import UnsupportedMediaType

from app.detection.spec import modalities
from app.errors import ApiQueryInvalidError

FORM_TYPES = ("multipart/form-data", "application/x-www-form-urlencoded")
FLAGS = {"true": True, "false": False}

Value = TypeVar("Value")
Choice = TypeVar("Choice", bound=StrEnum)


def check_form(*known: str) -> None:
    """Check that a form was sent that has only fields that exist.

    Raises:
        UnsupportedMediaType: It is something else.
        ApiQueryInvalidError: It has another field.
    """
    if request.mimetype not in FORM_TYPES:
        raise UnsupportedMediaType("Send the scan in a form, as multipart/form-data.")
    if not {*request.form, *request.files} <= {*known}:
        raise ApiQueryInvalidError(f"There is no such field. Known are: {', '.join(known)}.")


def sent_modality() -> str:
    """Return the kind of scan that a form names.

    Raises:
        ApiQueryInvalidError: There is no such kind.
    """
    modality = request.form.get("modality", "")
    if modality not in modalities():
        known = ", ".join(modalities())
        raise ApiQueryInvalidError(f"Give the field “modality” one of these values: {known}.")
    return modality


def sent_flag(name: str) -> bool:
    """Return what a form says of a matter of yes or no; no where it says nothing.

    Raises:
        ApiQueryInvalidError: It says neither.
    """
    text = request.form.get(name, "false").strip().lower()
    if text not in FLAGS:
        raise ApiQueryInvalidError(f"Give the field “{name}” the value true or false.")
    return FLAGS[text]


def check_parameters(known: Collection[str]) -> None:
    """Check that the address has only parameters that exist, each with one value.

    A filter with a typing error would otherwise let everything through.

    Raises:
        ApiQueryInvalidError: One is unknown, empty or given twice.
    """
    for name, values in request.args.lists():
        if name not in known:
            listed = ", ".join(known)
            raise ApiQueryInvalidError(f"There is no such parameter. Known are: {listed}.")
        if len(values) > 1 or not values[0]:
            raise ApiQueryInvalidError(f"Give the parameter “{name}” one value, or leave it out.")


def parameter(name: str, read: Callable[[str], Value], expected: str) -> Value | None:
    """Return a parameter of the address, or None where it is not given.

    Args:
        name: Of the parameter.
        read: Makes a value of the text; raises ValueError or OverflowError where it cannot.
        expected: What the parameter can be, for the message.

    Raises:
        ApiQueryInvalidError: It cannot be read.
    """
    text = request.args.get(name)
    if text is None:
        return None
    try:
        return read(text)
    except (ValueError, OverflowError):
        raise ApiQueryInvalidError(f"Give the parameter “{name}” {expected}.") from None


def choice(name: str, choices: type[Choice], known: Collection[Choice]) -> Choice | None:
    """Return a parameter that can have only a few values, or None where it is not given.

    Raises:
        ApiQueryInvalidError: It has another.
    """
    found = parameter(name, choices, f"one of these values: {', '.join(known)}")
    if found is not None and found not in known:
        raise ApiQueryInvalidError(
            f"Give the parameter “{name}” one of these values: {', '.join(known)}."
        )
    return found
