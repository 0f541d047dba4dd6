"""For everybody, without an account: is a report of this installation genuine and unchanged?"""

from datetime import datetime
from hashlib import sha256
from typing import Any

from flask import Blueprint, Response, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage

from app.detection.labels import Verdict
from app.errors import FileTooLargeError, TooManyAttemptsError
from app.services.accounts.throttle import network_of
from app.services.audit import client_address
from app.services.certificates.signing import public_pem
from app.services.certificates.verification import MAX_PDF_BYTES, Verification
from app.web.context import services
from app.web.forms import Form, refusal
from app.web.guards import public
from app.web.offers import title_of
from app.web.wording import LABELS

FIELDS = {"report": "the report", "image": "the image"}
CHUNK_BYTES = 2**20

# What the entries of a report are called where one was changed.
ENTRIES = {
    "verdict": "the verdict",
    "probability_fake": "the score",
    "threshold": "the operating point",
    "inconclusive_band": "the operating point",
    "reasons": "the reasons",
    "image.sha256": "the hash of the image",
    "weights.sha256": "the hash of the weights",
    "weights.name": "the name of the weights",
    "judged": "the time of the verdict",
    "submitted": "the time of the upload",
    "analysis": "the number of the analysis",
    "modality": "the kind of scan",
    "signing_key": "the name of the key",
    "installation": "the installation",
    "notice": "the notice",
}

bp = Blueprint("verify", __name__, url_prefix="/verify")


@bp.get("")
@public
def show() -> ResponseReturnValue:
    """Show the form that takes a report, an image or both."""
    return _page(Form(FIELDS))


@bp.post("")
@public
def check() -> ResponseReturnValue:
    """Say whether a report is genuine, and whether it belongs to an image."""
    form, report, image = Form(FIELDS), _file("report"), _file("image")
    if report is None and image is None:
        form.refuse("report", "Choose a report, an image, or both.")
        return _page(form), 422
    allowance = services().rate_limits.report_checks.take(network_of(client_address.get()))
    if allowance and allowance.is_exceeded:
        too_many = TooManyAttemptsError(allowance.reset_s)
        form.refuse_for(too_many)
        return refusal(too_many, _page(form))
    try:
        digest = _hash(image) if image else None
    except FileTooLargeError as error:
        form.refuse("image", str(error))
        return _page(form), 413
    verification = services().verification
    if report is None:
        has_certificate = verification.has_certificate(digest or "")
        return _page(form, image_sha256=digest, has_certificate=has_certificate)
    found = verification.check_report(report.stream.read(MAX_PDF_BYTES + 1), digest)
    return _page(form, found=found, claims=_claims(found), changed=_changed(found))


@bp.get("/public-key.pem")
@public
def public_key() -> ResponseReturnValue:
    """Return the public key that signs now, as PEM."""
    signing = services().signing
    key = signing.find_key(signing.signer().key_id)
    pem = public_pem(key) if key else b""
    return Response(pem, mimetype="application/x-pem-file")


@bp.get("/public-keys.json")
@public
def public_keys() -> ResponseReturnValue:
    """List every public key that this installation ever signed with."""
    signing = services().signing
    current = signing.signer().key_id
    keys = [
        {
            "id": key.id,
            "algorithm": "Ed25519",
            "public_key_hex": key.public_key,
            "pem": public_pem(key).decode(),
            "first_used": key.first_used.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "withdrawn": key.withdrawn.strftime("%Y-%m-%dT%H:%M:%SZ") if key.withdrawn else None,
            "current": key.id == current,
        }
        for key in signing.public_keys()
    ]
    return jsonify(installation=signing.installation, keys=keys)


def _file(name: str) -> FileStorage | None:
    file = request.files.get(name)
    return file if file and file.filename else None


def _hash(image: FileStorage) -> str:
    """Return the SHA-256 of an image, which is neither decoded nor kept.

    Raises:
        FileTooLargeError: It is larger than anything that could have been judged here.
    """
    limit, size_bytes, digest = services().settings.max_upload_bytes, 0, sha256()
    while chunk := image.stream.read(CHUNK_BYTES):
        size_bytes += len(chunk)
        if size_bytes > limit:
            raise FileTooLargeError(limit)
        digest.update(chunk)
    return digest.hexdigest()


def _page(form: Form, **result: Any) -> str:
    signing = services().signing
    return render_template(
        "verify/verify.html",
        form=form,
        key_id=signing.signer().key_id,
        max_upload_bytes=services().settings.max_upload_bytes,
        **result,
    )


def _changed(found: Verification) -> list[str]:
    """Return what was changed, in words, each once."""
    return list(dict.fromkeys(ENTRIES.get(name, f"the entry {name}") for name in found.changed))


def _claims(found: Verification) -> dict[str, Any]:
    """Return what a signed report says, for people; nothing where it is not to be trusted."""
    report = found.report
    if report is None:
        return {}
    return {
        "verdict": LABELS[Verdict(report["verdict"])],
        "tone": report["verdict"],
        "score": report["probability_fake"],
        "band": report["inconclusive_band"],
        "title": title_of(report["modality"]),
        "judged": datetime.fromisoformat(report["judged"]),
        "image": report["image"],
        "weights": report["weights"],
        "reasons": report["reasons"],
        "analysis": report["analysis"],
        "key": report["signing_key"],
    }
