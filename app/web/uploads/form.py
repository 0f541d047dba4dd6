"""The upload form: what was sent with it, what is wrong with it, and where its sender goes next."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage

from app.errors import ModalityUnavailableError, UnknownModalityError, UploadError
from app.services.uploads.uploads import MAX_FILES, IncomingFile
from app.web.context import services, viewer
from app.web.errors import status_of
from app.web.forms import Form
from app.web.offers import offers, title_of

FIELDS = {"modality": "the kind of scan", "images": "a scan"}
LATEST = 3


def empty_form() -> ResponseReturnValue:
    """Return the page with the form; the address may name the kind of scan."""
    return _page(Form(FIELDS, request.args))


def sent_form() -> ResponseReturnValue:
    """Take in what was sent with the form; wait for the verdict on a single image."""
    form = Form(FIELDS, request.form)
    files = [file for file in request.files.getlist("images") if file.filename]
    _check(form, files)
    if form.errors:
        return _page(form), 422
    try:
        with released([incoming(file) for file in files]) as scans:
            return _taken_in(form["modality"], scans)
    except (UnknownModalityError, ModalityUnavailableError) as error:
        form.refuse("modality", str(error))
        return _page(form), status_of(error)
    except UploadError as error:
        form.refuse("images", str(error))
        return _page(form), status_of(error)


def incoming(file: FileStorage, number: int = 0) -> IncomingFile:
    """Return a file such that it outlives the request; whoever reads it closes it.

    Args:
        file: As it came with a form.
        number: Its place among the files that are sent together, from 1; 0 for the next.
    """
    stream, file.stream = file.stream, io.BytesIO()
    return IncomingFile(name=file.filename or "", number=number, stream=cast(BinaryIO, stream))


@contextmanager
def released(files: list[IncomingFile]) -> Iterator[list[IncomingFile]]:
    """Close files after all if nobody takes them over, since the body fails."""
    try:
        yield files
    except BaseException:
        for file in files:
            file.stream.close()
        raise


def _taken_in(modality: str, files: list[IncomingFile]) -> ResponseReturnValue:
    uploads = services().intake.uploads
    if len(files) > 1:
        upload = uploads.begin(viewer(), modality)
        uploads.add_later(viewer(), upload.id, files)
        return redirect(url_for("uploads.show", upload_id=upload.id), 303)
    file = uploads.add_alone(viewer(), modality, files[0])
    if file.analysis_id is None:
        return redirect(url_for("uploads.show", upload_id=file.upload_id), 303)
    services().analyses.wait(file.analysis_id, services().settings.verdict_wait_s)
    return redirect(url_for("analyses.show", analysis_id=file.analysis_id), 303)


def _check(form: Form, files: list[FileStorage]) -> None:
    if not form["modality"]:
        form.refuse("modality", "Choose the kind of scan.")
    if not files:
        form.refuse("images", "Choose a file.")
    elif len(files) > MAX_FILES:
        form.refuse("images", f"Choose at most {MAX_FILES} files at once.")


def _page(form: Form) -> str:
    choices = offers()
    available = [offer.spec.key for offer in choices if offer.is_available]
    chosen = form["modality"] or (available[0] if len(available) == 1 else "")
    settings = services().settings
    return render_template(
        "analyses/new.html",
        form=form,
        offers=choices,
        chosen=chosen,
        can_judge=bool(available),
        title_of=title_of,
        latest=services().intake.uploads.latest(viewer(), LATEST),
        max_upload_bytes=settings.max_upload_bytes,
        max_archive_bytes=settings.max_archive_bytes,
        max_files=MAX_FILES,
    )
