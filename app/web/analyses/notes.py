"""Notes and tags of one's own on an analysis."""

from uuid import UUID

from flask import Blueprint, Flask, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.errors import NoteError
from app.records import Note
from app.services.analyses.notes import MAX_NOTE_CHARACTERS
from app.web.context import services, viewer
from app.web.forms import Form
from app.web.guards import signed_in

FIELDS = {"note": "a note", "tags": "tags"}

bp = Blueprint("notes", __name__, url_prefix="/analyses")


@bp.get("/<uuid:analysis_id>/note")
@signed_in
def edit(analysis_id: UUID) -> ResponseReturnValue:
    """Show the form of a note by itself."""
    return _edit_page(analysis_id, note_form(own_note(analysis_id)))


@bp.post("/<uuid:analysis_id>/note")
@signed_in
def save(analysis_id: UUID) -> ResponseReturnValue:
    """Keep a note and its tags."""
    form = Form(FIELDS, request.form)
    try:
        services().notes.save(viewer(), analysis_id, text=form["note"], tags=form["tags"])
    except NoteError as error:
        form.refuse(error.field, str(error))
        return _edit_page(analysis_id, form), 422
    flash("Your note is saved.", "done")
    return redirect(url_for("analyses.show", analysis_id=analysis_id), 303)


def own_note(analysis_id: UUID) -> Note:
    """Return the viewer's note to an analysis of their own; for templates."""
    return services().notes.get(viewer(), analysis_id)


def note_form(note: Note) -> Form:
    """Return the form that changes a note; for templates."""
    form = Form(FIELDS)
    form.fill(note=note.text, tags=", ".join(note.tags))
    return form


def init_app(app: Flask) -> None:
    """Let the verdict page show the note."""
    for function in (own_note, note_form):
        app.add_template_global(function)
    app.jinja_env.globals["max_note"] = MAX_NOTE_CHARACTERS


def _edit_page(analysis_id: UUID, form: Form) -> str:
    return render_template("analyses/note.html", form=form, analysis_id=analysis_id)
