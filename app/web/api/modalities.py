"""The kinds of scan."""

from typing import Any

from flask import jsonify
from flask.typing import ResponseReturnValue

from app.records import Scope
from app.web.api.blueprint import bp
from app.web.guards import token_required
from app.web.offers import Offer, offers


@bp.get("/modalities")
@token_required(Scope.READ)
def list_modalities() -> ResponseReturnValue:
    """List the kinds of scan and whether each can be judged now."""
    return jsonify(modalities=[_body(offer) for offer in offers()])


def _body(offer: Offer) -> dict[str, Any]:
    card = offer.card
    return {
        "key": offer.spec.key,
        "title": offer.spec.title,
        "summary": offer.spec.summary,
        "available": offer.is_available,
        "reason": offer.reason,
        "weights": {"name": card.name, "sha256": card.sha256} if card else None,
        "gate": {"sha256": offer.gate_card.sha256} if offer.gate_card else None,
    }
