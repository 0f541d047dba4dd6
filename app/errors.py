"""Every error that Veriscan can raise. Each builds its own message, fit to be shown to the user.

``VeriscanError`` is the root. The message says what is wrong and, where the user can act on it,
what to do. No message contains a path, a client's file name or anything read out of a scan.
"""

import math
from collections.abc import Sequence
from datetime import datetime


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
            "Upload single images, or a zip archive of them."
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


class ScanUnderReviewError(UploadError):
    """A reviewer hands in a scan that waits for their own, blind opinion."""

    def __init__(self) -> None:
        super().__init__(
            "This scan waits for your second opinion, which you are to form without the verdict. "
            "Give your opinion first, under “Second opinions”; then you may upload it."
        )


class TooCostlyError(UploadError):
    """Decoding the image takes more time or memory than it may."""

    def __init__(self) -> None:
        super().__init__(
            "Reading this image takes more time or memory than this server allows. Export it "
            "uncompressed, one image a file, at its original resolution."
        )


class NoSuchFrameError(UploadError):
    """The file does not hold that many images."""

    def __init__(self, number: int, frames: int) -> None:
        super().__init__(f"There is no image number {number} in the file; it holds {frames}.")


class QuotaExceededError(UploadError):
    """The user's scans would take more room than they may."""

    def __init__(self, limit_mib: int) -> None:
        super().__init__(
            f"Your scans may take {limit_mib} MB together, and this one would go beyond that. "
            "Delete some, or ask your administrator for more room."
        )


class UnsupportedDicomError(UploadError):
    """The DICOM file is readable but is not an image that can be judged."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"This DICOM file cannot be judged: {problem}.")


# --- several files at once ------------------------------------------------------------------


class TooManyFilesError(UploadError):
    """Somebody sends more files together than one upload may have."""

    def __init__(self, max_files: int) -> None:
        super().__init__(f"At most {max_files} files can be sent together. Send the rest after it.")


class ReadingInterruptedError(UploadError):
    """The server stopped while it read a file that holds several images."""

    def __init__(self) -> None:
        super().__init__(
            "The server was restarted while it read this file. What had been taken in is judged; "
            "send the file again for the rest."
        )


class ArchiveError(UploadError):
    """A zip archive, or a member of it, cannot be read. The message is for its sender."""


class ArchiveTooLargeError(ArchiveError):
    """The archive has more bytes than the server accepts."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"The archive is larger than {max_bytes / 2**20:.0f} MB, the limit of this server. "
            "Send it in parts."
        )


class ArchiveDamagedError(ArchiveError):
    """The archive is not a zip archive, or is cut short."""

    def __init__(self) -> None:
        super().__init__("The zip archive is damaged or incomplete. Make it again.")


class ArchiveEmptyError(ArchiveError):
    """The archive holds no files."""

    def __init__(self) -> None:
        super().__init__("There are no files in this zip archive.")


class TooManyMembersError(ArchiveError):
    """The archive holds more files than are read."""

    def __init__(self, max_members: int) -> None:
        super().__init__(
            f"The archive holds more than {max_members} files. Send it in parts, one series each."
        )


class ArchiveBombError(ArchiveError):
    """The members of an archive inflate to more than is read of one archive."""

    def __init__(self, max_bytes: int) -> None:
        super().__init__(
            f"The archive unpacks to more than {max_bytes / 2**30:.0f} GB; it was read no further. "
            "Send it in parts."
        )


class MemberNameError(ArchiveError):
    """The name of a member leads out of the archive."""

    def __init__(self) -> None:
        super().__init__("Its name leads out of the archive, so it was left alone.")


class MemberIsLinkError(ArchiveError):
    """A member is a link or another thing that is not a file."""

    def __init__(self) -> None:
        super().__init__("It is a link or a device and not a file.")


class MemberEncryptedError(ArchiveError):
    """A member needs a password."""

    def __init__(self) -> None:
        super().__init__("It is encrypted. Make the archive again without a password.")


class MemberCompressionError(ArchiveError):
    """A member is compressed in a way that has no bound."""

    def __init__(self) -> None:
        super().__init__("It is compressed in an unusual way. Make the archive again as plain zip.")


class NestedArchiveError(ArchiveError):
    """A member is a zip archive itself."""

    def __init__(self) -> None:
        super().__init__("It is an archive inside the archive. Send it on its own.")


class MemberDamagedError(ArchiveError):
    """A member cannot be unpacked."""

    def __init__(self) -> None:
        super().__init__("It is damaged inside the archive. Make the archive again.")


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


class CalibrationError(VeriscanError):
    """A limit for this site cannot be set from so few scans."""

    def __init__(self, needed: int) -> None:
        super().__init__(
            f"This limit can be set from {needed} authentic scans on. Add more of them first."
        )


class ActivationError(WeightsError):
    """Sound weights cannot be made the serving ones."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"The weights are sound, but the choice cannot be kept: {problem}. The former weights "
            "go on serving."
        )


# --- engine ---------------------------------------------------------------------------------


class EngineError(VeriscanError):
    """The engine cannot do what was asked."""


class ModalityUnavailableError(EngineError):
    """No detector serves this modality at present."""

    def __init__(self, title: str, reason: str) -> None:
        super().__init__(f"{title} cannot be analysed at present: {reason}")


class BusyError(EngineError):
    """There is too much to do to take this in now; later there will be room.

    Attributes:
        retry_after_s: When it is worth trying again, in whole seconds from now.
    """

    def __init__(self, problem: str, retry_after_s: int) -> None:
        super().__init__(problem)
        self.retry_after_s = retry_after_s


class QueueFullError(BusyError):
    """Too many analyses are waiting."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(
            f"Too many analyses are waiting. Try again in about {retry_after_s} seconds.",
            retry_after_s,
        )


class LineFullError(BusyError):
    """A user has more scans in line than anybody may."""

    def __init__(self, max_in_line: int) -> None:
        super().__init__(
            f"{max_in_line} of your scans are waiting to be judged, and more cannot wait. Send "
            "this one again when some of them are done.",
            retry_after_s=60,
        )


class TooMuchToUnpackError(BusyError):
    """Too many archives and files of several images are waiting to be read."""

    def __init__(self) -> None:
        super().__init__(
            "The server is still reading other archives. Send this file again in a few minutes.",
            retry_after_s=120,
        )


class DecodersBusyError(QueueFullError):
    """All processes that read scans have been at work for long."""


class DecodersFailedError(EngineError):
    """No process that reads scans can be started."""

    def __init__(self) -> None:
        super().__init__("Scans cannot be read at present. Try again in a minute.")


class ShadowUnavailableError(EngineError):
    """The engine cannot judge with two checkpoints at a time."""

    def __init__(self) -> None:
        super().__init__("This engine cannot judge with a second checkpoint in the shadow.")


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


class TooManyTokensError(AccountError):
    """A user has as many API tokens as they may have."""

    field = "name"

    def __init__(self, max_tokens: int) -> None:
        super().__init__(
            f"You have {max_tokens} tokens, as many as one may have. Revoke one that is no longer "
            "needed, and then make this one."
        )


class TokenScopesInvalidError(AccountError):
    """An API token has to open something, and nothing that does not exist."""

    field = "scopes"

    def __init__(self) -> None:
        super().__init__("Tick at least one thing that the token may do.")


class TokenLifetimeInvalidError(AccountError):
    """An API token is to last for too short or too long."""

    field = "days"

    def __init__(self, max_days: int) -> None:
        super().__init__(f"Let the token last from 1 to {max_days} days.")


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


class AwaitsApprovalError(AccountError):
    """The password is right, but no administrator has approved the account yet."""

    def __init__(self) -> None:
        super().__init__(
            "Your account waits for an administrator's approval. Try again later, or ask them."
        )


class TooManyAttemptsError(AccountError):
    """Too many attempts were made for an account or from an address; later ones are heard."""

    def __init__(self, retry_after_s: float) -> None:
        self.retry_after_s = max(1, math.ceil(retry_after_s))
        minutes = math.ceil(self.retry_after_s / 60)
        wait = f"{self.retry_after_s} seconds" if self.retry_after_s < 90 else f"{minutes} minutes"
        super().__init__(f"There were too many attempts. Try again in {wait}.")


class CodeWrongError(AccountError):
    """A one-time code or recovery code is wrong, was used already or is too old."""

    field = "code"

    def __init__(self) -> None:
        super().__init__(
            "This code is wrong or was used already. Wait for the next one in your app."
        )


class SecondFactorOnError(AccountError):
    """A new second factor was asked for while there is one."""

    def __init__(self) -> None:
        super().__init__("Codes are on already. Turn them off first, then set them up anew.")


class SecondFactorNotBegunError(AccountError):
    """A code came for a second factor that nobody has begun to set up."""

    def __init__(self) -> None:
        super().__init__("Begin again: scan the picture, then enter the code that your app shows.")


class RegistrationClosedError(AccountError):
    """Nobody may register here, or only with an invitation."""

    def __init__(self) -> None:
        super().__init__("Registration is closed. Ask an administrator for an account.")


class LinkInvalidError(AccountError):
    """A one-time link is unknown, used, expired or for something else; no telling which."""

    def __init__(self) -> None:
        super().__init__(
            "This link has been used, has expired or was never valid. Ask for a new one."
        )


class InvitedEmailError(AccountError):
    """An invitation was made for another e-mail address."""

    field = "email"

    def __init__(self) -> None:
        super().__init__("The invitation was made for another e-mail address. Use that one.")


class ConfirmationWrongError(AccountError):
    """Somebody who deletes their account did not type their username."""

    field = "username"

    def __init__(self) -> None:
        super().__init__("This is not your username. Type it as it is shown.")


class SealBrokenError(VeriscanError):
    """Something encrypted cannot be opened: it was changed, or sealed with another key."""

    def __init__(self) -> None:
        super().__init__("A stored secret was encrypted with another VERISCAN_SECRET_KEY.")


class MailError(VeriscanError):
    """An e-mail could not be sent."""

    def __init__(self) -> None:
        super().__init__("The e-mail could not be sent. Check VERISCAN_SMTP_URL and the server.")


class LastAdminError(AccountError):
    """The change would leave nobody who can administer the system."""

    def __init__(self) -> None:
        super().__init__("This is the last active administrator; make another one first.")


class TokenExpiredError(VeriscanError):
    """A script sends an API token that was good once."""

    def __init__(self, expired: datetime) -> None:
        super().__init__(
            f"This token expired on {expired:%Y-%m-%d at %H:%M} UTC. Make a new one on the account "
            "page."
        )


class TooManyRequestsError(VeriscanError):
    """The scripts of a user ask more often than they may."""

    def __init__(self, per_minute: int, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(
            f"All your tokens together may be used {per_minute} times a minute. Go on in "
            f"{retry_after_s} seconds."
        )


class ApiQueryInvalidError(VeriscanError):
    """A parameter or a field that a script sent cannot be; the message says which."""


# --- records --------------------------------------------------------------------------------


class NotFoundError(VeriscanError):
    """The thing does not exist, or is not this user's to see."""

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no such {what}.")


class SiteSettingError(VeriscanError):
    """A setting of the site cannot have this value; ``field`` names it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"This cannot be set: {problem}.")
        self.field = field


class AnchorInvalidError(VeriscanError):
    """The anchor of the audit trail is damaged or was sealed with another key."""

    def __init__(self) -> None:
        super().__init__(
            "The anchor of the trail is damaged, or was sealed with another secret key, so the "
            "end of the trail may have been cut off."
        )


class AuditTrailBrokenError(VeriscanError):
    """The audit trail cannot be anchored anew, since events were changed or are missing."""

    def __init__(self, problem: str) -> None:
        super().__init__(
            f"{problem} The trail was not anchored anew. “flask verify-audit” says all that is "
            "wrong with it."
        )


class NoteError(VeriscanError):
    """A note or its tags cannot be kept. The message is for the person at the form."""

    field: str
    """The form field that the message belongs to."""


class NoteTooLongError(NoteError):
    """The text of a note is too long."""

    field = "note"

    def __init__(self, max_characters: int) -> None:
        super().__init__(f"Shorten the note to at most {max_characters} characters.")


class TagTooLongError(NoteError):
    """A tag is too long."""

    field = "tags"

    def __init__(self, max_characters: int) -> None:
        super().__init__(
            f"A tag has at most {max_characters} characters. Separate the tags by commas."
        )


class TooManyTagsError(NoteError):
    """An analysis has too many tags."""

    field = "tags"

    def __init__(self, max_tags: int) -> None:
        super().__init__(f"Give an analysis at most {max_tags} tags.")


class ScanMissingError(VeriscanError):
    """An interrupted analysis cannot go on, because its picture is gone."""

    def __init__(self) -> None:
        super().__init__("The scan is no longer stored. Upload it again.")


class StorageError(VeriscanError):
    """Stored data cannot be read or written."""


class BackupError(VeriscanError):
    """A backup cannot be made or restored; nothing of it is left."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"{problem} Nothing was changed.")


# --- certificates ---------------------------------------------------------------------------


class SigningKeyError(VeriscanError):
    """The key that signs certificates cannot be used."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"The key that signs certificates cannot be used: {problem}.")


# --- second opinions ------------------------------------------------------------------------


class ReviewError(VeriscanError):
    """A second opinion cannot be asked for, given or taken back as things stand."""


class ReasonInvalidError(ReviewError):
    """Somebody contests a verdict without saying why, or at too great a length."""

    def __init__(self, max_characters: int) -> None:
        super().__init__(f"Say why you doubt the verdict, in at most {max_characters} characters.")


class CommentTooLongError(ReviewError):
    """The comment of a reviewer is too long."""

    def __init__(self, max_characters: int) -> None:
        super().__init__(f"Shorten the comment to at most {max_characters} characters.")


class NothingToContestError(ReviewError):
    """The analysis has no verdict that could be contested."""

    def __init__(self) -> None:
        super().__init__("There is no verdict on this scan that could be contested.")


class AlreadyContestedError(ReviewError):
    """The verdict was contested before."""

    def __init__(self) -> None:
        super().__init__("You have asked for a second opinion on this scan already.")


class CaseClosedError(ReviewError):
    """The case is settled, so nothing can be added to it or taken back."""

    def __init__(self) -> None:
        super().__init__("This case is closed by now. Its outcome stands.")


class AlreadyAnsweredError(ReviewError):
    """A reviewer answers the same case twice."""

    def __init__(self) -> None:
        super().__init__("You have answered this case already. Your first answer stands.")


class ExportFolderError(ReviewError):
    """Labels cannot be written where they should be."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"The labels cannot be written there: {problem}.")
