"""The blueprint of the administrators' pages, which each of their modules adds to."""

from flask import Blueprint

bp = Blueprint("admin", __name__, url_prefix="/admin")
