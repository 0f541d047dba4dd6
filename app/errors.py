"""Every error that Veriscan can raise. Each builds its own message, fit to be shown to the user.

``VeriscanError`` is the root. The message says what is wrong and, where the user can act on it,
what to do. No message contains a path, a client's file name or anything read out of a scan.
"""

from collections.abc import Sequence


class VeriscanError(Exception):
    """Root of all errors that Veriscan raises on purpose."""


# --- settings -------------------------------------------------------------------------------


class SettingError(VeriscanError):
    """A setting in the environment cannot be used."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name


# --- uploads and decoding -------------------------------------------------------------------


class UploadError(VeriscanError):
    """An uploaded file cannot be accepted. The message is for the person who sent it."""


class EmptyFileError(UploadError):
    """The file has no bytes."""

    def __init__(self) -> None:
        super().__init__("The file is empty. Export the scan again and upload the new file.")


class FileTooLargeError(UploadError):
    """The file has more bytes than the server accepts."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"The file is larger than {max_bytes / 2**20:.0f} MB, the limit of this server. "
            "Upload a single image instead of a whole study."
        )


class UnsupportedFormatError(UploadError):
    """The bytes are not an image in one of the accepted formats."""

    def __init__(self) -> None:
        super().__init__(
            "This is not a PNG, JPEG, TIFF, BMP or DICOM image, whatever its name says. "
            "Export the scan in one of these formats."
        )


class UnsupportedDepthError(UploadError):
    """The image stores numbers whose meaning it does not declare."""

    def __init__(self) -> None:
        super().__init__(
            "The image stores signed, 32-bit or floating-point values, whose black and white are "
            "not defined. Export it with 8 or 16 bits a pixel, or as DICOM."
        )


class DamagedImageError(UploadError):
    """The image is cut short or otherwise cannot be decoded."""

    def __init__(self, image_format: str) -> None:
        super().__init__(
            f"The {image_format} image is damaged or incomplete and cannot be read. "
            "Export or copy the scan again."
        )


class TooManyPixelsError(UploadError):
    """The image would decode to more pixels than the server accepts."""

    def __init__(self, width: int, height: int, max_pixels: int) -> None:
        super().__init__(
            f"The image is {width} × {height} pixels; at most {max_pixels / 1e6:.0f} million "
            "pixels are accepted. Upload it at its original scanner resolution."
        )


class TooFewPixelsError(UploadError):
    """The image is too small to be judged."""

    def __init__(self, width: int, height: int, min_side: int) -> None:
        super().__init__(
            f"The image is only {width} × {height} pixels; each side must have at least "
            f"{min_side}. Upload the original scan, not a thumbnail."
        )


class MultiFrameError(UploadError):
    """The file holds several images."""

    def __init__(self, frames: int) -> None:
        super().__init__(
            f"The file holds {frames} images. Export the slice in question and upload it alone."
        )


class UnsupportedDicomError(UploadError):
    """The DICOM file is readable but is not an image that can be judged."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"This DICOM file cannot be judged: {problem}.")


# --- modalities, networks, weights ----------------------------------------------------------


class UnknownModalityError(VeriscanError):
    """A modality of this name does not exist."""

    def __init__(self, key: str, known: Sequence[str]) -> None:
        super().__init__(f"There is no modality {key!r}. Known: {', '.join(known)}.")


class DuplicateModalityError(VeriscanError):
    """Two files define the same modality."""

    def __init__(self, key: str) -> None:
        super().__init__(f"The modality {key!r} is defined twice.")


class UnknownArchitectureError(VeriscanError):
    """A network of this name does not exist."""

    def __init__(self, name: str, known: Sequence[str]) -> None:
        super().__init__(f"There is no architecture {name!r}. Known: {', '.join(known)}.")


class DuplicateArchitectureError(VeriscanError):
    """Two builders are registered under the same name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"The architecture {name!r} is registered twice.")


class ArchitectureArgumentsError(VeriscanError):
    """A network cannot be built with these arguments."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"Architecture {name!r}: {problem}")


class WeightsError(VeriscanError):
    """A checkpoint or its card cannot be used."""


class WeightsMissingError(WeightsError):
    """No checkpoint is published for a modality."""

    def __init__(self, what: str) -> None:
        super().__init__(
            f"No weights are published for {what}. Ask the administrator; the README's chapter "
            "“Retraining” says how they are made."
        )


class WeightsDamagedError(WeightsError):
    """The checkpoint does not fit its card."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"The weights {name!r} are refused: {problem}.")


class CardInvalidError(WeightsError):
    """A card lacks a field, has an unknown one or holds a value out of range."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"The card of the weights {name!r} is refused: {problem}.")


# --- engine ---------------------------------------------------------------------------------


class EngineError(VeriscanError):
    """The engine cannot do what was asked."""


class ModalityUnavailableError(EngineError):
    """No detector serves this modality at present."""

    def __init__(self, title: str, reason: str) -> None:
        super().__init__(f"{title} cannot be analysed at present: {reason}")


class QueueFullError(EngineError):
    """Too many analyses are waiting."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"Too many analyses are waiting. Try again in about {retry_after_s} seconds."
        )
        self.retry_after_s = retry_after_s


class DeviceUnavailableError(EngineError):
    """The networks were to run on a device that this machine does not offer."""

    def __init__(self, device: str) -> None:
        super().__init__(
            f"There is no usable {device} device on this machine. Set the device to auto or cpu."
        )


class EngineStoppedError(EngineError):
    """The engine was stopped before it came to this scan."""

    def __init__(self) -> None:
        super().__init__("The analysis was interrupted because the server is stopping.")


class InferenceFailedError(EngineError):
    """The network failed on this scan."""

    def __init__(self) -> None:
        super().__init__(
            "The analysis failed inside the detector. Try again; if it fails again, "
            "tell the administrator."
        )


# --- accounts -------------------------------------------------------------------------------


class AccountError(VeriscanError):
    """An account cannot be made or changed. The message is for the person at the form."""

    field: str | None = None
    """The form field that the message belongs to, if it belongs to one."""


class UsernameInvalidError(AccountError):
    """The username has characters that are not allowed, or a wrong length."""

    field = "username"

    def __init__(self) -> None:
        super().__init__(
            "Use 3 to 32 letters, digits, dots, hyphens or underscores, starting with a letter."
        )


class UsernameTakenError(AccountError):
    """The username belongs to somebody."""

    field = "username"

    def __init__(self) -> None:
        super().__init__("This username is taken. Choose another.")


class EmailInvalidError(AccountError):
    """The address cannot be an e-mail address."""

    field = "email"

    def __init__(self) -> None:
        super().__init__("This is not an e-mail address. Example: name@hospital.org")


class EmailTakenError(AccountError):
    """The e-mail address belongs to another account."""

    field = "email"

    def __init__(self) -> None:
        super().__init__("An account with this e-mail address exists. Sign in instead.")


class MobileInvalidError(AccountError):
    """The number cannot be a telephone number."""

    field = "mobile"

    def __init__(self) -> None:
        super().__init__(
            "This is not a mobile number. Give it with the country code: +49 151 23456789"
        )


class PasswordTooWeakError(AccountError):
    """The password is too short, too long, too common or contains the username."""

    field = "password"


class PasswordsDifferError(AccountError):
    """The password and its repetition differ."""

    field = "confirm"

    def __init__(self) -> None:
        super().__init__("The two passwords differ. Type the same one twice.")


class CurrentPasswordWrongError(AccountError):
    """Somebody who wants a new password did not give the present one."""

    field = "current"

    def __init__(self) -> None:
        super().__init__("This is not your current password.")


class TokenNameInvalidError(AccountError):
    """An API token needs a name that its owner can tell it by."""

    field = "name"

    def __init__(self, max_characters: int) -> None:
        super().__init__(
            f"Give the token a name of 1 to {max_characters} characters, such as the script's."
        )


class RegistrationRefusedError(AccountError):
    """One or more fields of a registration are refused; all of them are told at once."""

    def __init__(self, errors: Sequence[AccountError]) -> None:
        super().__init__(" ".join(str(error) for error in errors))
        self.errors = tuple(errors)

    def by_field(self) -> dict[str, list[str]]:
        """Return the messages by form field."""
        messages: dict[str, list[str]] = {}
        for error in self.errors:
            messages.setdefault(error.field or "", []).append(str(error))
        return messages


class SignInFailedError(AccountError):
    """Unknown user or wrong password: the message does not say which."""

    def __init__(self) -> None:
        super().__init__("The username or the password is wrong.")


class AccountInactiveError(AccountError):
    """The password is right, but an administrator has deactivated the account."""

    def __init__(self) -> None:
        super().__init__("This account is deactivated. Ask your administrator.")


class LastAdminError(AccountError):
    """The change would leave nobody who can administer the system."""

    def __init__(self) -> None:
        super().__init__("This is the last active administrator; make another one first.")


# --- records --------------------------------------------------------------------------------


class NotFoundError(VeriscanError):
    """The thing does not exist, or is not this user's to see."""

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no such {what}.")


class ScanMissingError(VeriscanError):
    """An interrupted analysis cannot go on, because its picture is gone."""

    def __init__(self) -> None:
        super().__init__("The scan is no longer stored. Upload it again.")


class StorageError(VeriscanError):
    """Stored data cannot be read or written."""
