"""Checking certificates for anybody: is it ours, is it unchanged, and does it belong to the image?

Whoever asks has no account, so nothing is told that the asker does not hold already:

- of a report, what it says itself, and only once its signature was found good;
- of a changed report, which entries were changed, but only to those who hold the signature of the
  report as it was issued, which nobody can guess;
- of an image, whether a certificate was issued for exactly this file: a yes or a no, without the
  verdict, the owner, the time or the number.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import rfc8785

from app.services.analyses.reports import CERTIFICATE_FORMAT
from app.services.certificates.certificates import PDF_DOMAIN, SEAL, SEAL_BYTES
from app.services.certificates.signing import SigningService, is_signed_by
from app.storage.certificates import CertificateStore

MAX_PDF_BYTES = 8 * 2**20
MAX_REPORT_BYTES = 2**16
PDF_START = b"%PDF-"
ATTACHMENT_START = b'{"report":{'

NOT_A_REPORT = "This is not a report of Veriscan, neither its PDF nor its JSON file."
TOO_LARGE = "The file is larger than any report. Choose the report as it was downloaded."
NOT_JSON = "The file is damaged: it cannot be read as a report any more."
OTHER_FORMAT = "The report is in a format that this version of Veriscan does not know."
UNKNOWN_KEY = (
    "It names a key that this installation never had. It comes from another installation, whose "
    "own page has to check it, or it is forged."
)
WITHDRAWN_KEY = (
    "It was signed with a key that this installation has withdrawn, because others may have it. "
    "Ask for a new report."
)
BAD_SIGNATURE = "The signature does not fit the report: one of them was changed after signing."
PDF_CHANGED = (
    "The signed report inside is genuine, but the PDF around it was changed or saved anew. Do not "
    "trust its pages; what the report says is listed here."
)
PDF_WITHOUT_REPORT = "The PDF holds no signed report of Veriscan, or it was removed."
OTHER_IMAGE = "The image is not the one that the report is about: their hashes differ."


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a check of a report found.

    Attributes:
        problems: What is wrong, a sentence each; none if it is genuine and unchanged.
        changed: Names of the entries that were changed, where that can be told.
        report: What the signed report says; None where its signature is not good.
        image_fits: Whether an image that came with it is the one that was judged; None if none
            came, or the report cannot be trusted.
    """

    problems: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    report: Mapping[str, Any] | None = field(default=None, repr=False)
    image_fits: bool | None = None

    @property
    def is_genuine(self) -> bool:
        """Whether it was issued here and nothing in it was changed."""
        return self.report is not None and not self.problems


class VerificationService:
    """Checks reports and images against the keys and certificates of this installation."""

    def __init__(self, signing: SigningService, store: CertificateStore) -> None:
        self._signing = signing
        self._store = store

    def check_report(self, data: bytes, image_sha256: str | None = None) -> Verification:
        """Check a report.

        Args:
            data: A PDF or a JSON file, from anybody; at most ``MAX_PDF_BYTES`` and one more.
            image_sha256: Hash of an image that is said to be the one judged, hex.
        """
        if len(data) > MAX_PDF_BYTES:
            return Verification(problems=(TOO_LARGE,))
        found = self._check_pdf(data) if data.startswith(PDF_START) else self._check_json(data)
        if image_sha256 is None or found.report is None:
            return found
        fits = found.report["image"]["sha256"] == image_sha256
        problems = found.problems if fits else (*found.problems, OTHER_IMAGE)
        return replace(found, image_fits=fits, problems=problems)

    def has_certificate(self, image_sha256: str) -> bool:
        """Return whether a certificate was issued for exactly this file."""
        return self._store.exists_for_image(image_sha256)

    # --- PDF --------------------------------------------------------------------------------

    def _check_pdf(self, data: bytes) -> Verification:
        """Check the seal, then the report inside. No PDF is ever parsed: both are found as text."""
        inside = self._check_attachment(data)
        if inside.report is None or inside.problems:
            return inside
        return inside if self._is_sealed(data) else replace(inside, problems=(PDF_CHANGED,))

    def _is_sealed(self, data: bytes) -> bool:
        pdf, seal = data[:-SEAL_BYTES], SEAL.fullmatch(data[-SEAL_BYTES:])
        if seal is None:
            return False
        key = self._signing.find_key(seal[1].decode())
        if key is None or key.withdrawn is not None:
            return False
        return is_signed_by(key, seal[2].decode(), PDF_DOMAIN + pdf)

    def _check_attachment(self, data: bytes) -> Verification:
        start = data.find(ATTACHMENT_START)
        if start < 0:
            return Verification(problems=(PDF_WITHOUT_REPORT,))
        text = data[start : start + MAX_REPORT_BYTES]
        end = text.find(b"\nendstream")
        return self._check_json(text[:end] if end >= 0 else text)

    # --- JSON -------------------------------------------------------------------------------

    def _check_json(self, data: bytes) -> Verification:
        if len(data) > MAX_REPORT_BYTES:
            return Verification(problems=(TOO_LARGE,))
        try:
            document = json.loads(data.decode(), object_pairs_hook=_without_doubles)
        except (ValueError, RecursionError):
            looks_right = data.lstrip()[:1] == b"{"
            return Verification(problems=(NOT_JSON if looks_right else NOT_A_REPORT,))
        if not _is_envelope(document):
            return Verification(problems=(NOT_A_REPORT,))
        return self._check_envelope(document["report"], document["signature"])

    def _check_envelope(self, report: dict[str, Any], signature: str) -> Verification:
        key_id = report.get("signing_key")
        key = self._signing.find_key(key_id) if isinstance(key_id, str) else None
        try:
            message = rfc8785.dumps(report)
        except (ValueError, RecursionError):  # a number or a text that no JSON of ours has
            message = b""
        if key is None or not is_signed_by(key, signature, message):
            return self._blame(report, signature, is_known=key is not None)
        if key.withdrawn is not None:
            return Verification(problems=(WITHDRAWN_KEY,))
        if report.get("format") != CERTIFICATE_FORMAT:
            return Verification(problems=(OTHER_FORMAT,))
        return Verification(report=report)

    def _blame(self, report: dict[str, Any], signature: str, *, is_known: bool) -> Verification:
        """Say what is wrong with a report whose signature is not good."""
        issued = self._store.find(signature)
        if issued is None:
            return Verification(problems=(BAD_SIGNATURE if is_known else UNKNOWN_KEY,))
        return Verification(
            problems=(BAD_SIGNATURE,), changed=_differences(json.loads(issued.report), report)
        )


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that has a name twice: readers differ in which of the two counts."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return found


def _is_envelope(document: object) -> bool:
    return (
        isinstance(document, dict)
        and set(document) == {"report", "signature"}
        and isinstance(document["report"], dict)
        and isinstance(document["signature"], str)
    )


def _differences(issued: dict[str, Any], shown: dict[str, Any], path: str = "") -> tuple[str, ...]:
    """Return the names of the entries that differ, such as ``weights.sha256``; no values."""
    found: list[str] = []
    for name, ours in issued.items():  # names that were added are not ours to repeat
        here, theirs = f"{path}{name}", shown.get(name)
        if isinstance(ours, dict) and isinstance(theirs, dict):
            found += _differences(ours, theirs, f"{here}.")
        elif ours != theirs or type(ours) is not type(theirs):
            found.append(here)
    if set(shown) - set(issued):
        found.append(f"{path}(an entry was added)")
    return tuple(found)
