"""The modalities as a page offers them, with the reason where one cannot be judged."""

from dataclasses import dataclass

from app.detection.card import Card
from app.detection.gate_card import GateCard
from app.detection.spec import ModalitySpec, modalities
from app.web.context import services


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A modality and what serves it.

    Attributes:
        card: Of the weights that serve it; None where it is unavailable.
        gate_card: Of the gate before it; None where there is none.
        reason: Why it is unavailable; None where it is available.
    """

    spec: ModalitySpec
    card: Card | None
    gate_card: GateCard | None
    reason: str | None

    @property
    def is_available(self) -> bool:
        """Whether a scan of this kind can be judged now."""
        return self.card is not None


def offers() -> list[Offer]:
    """Return every modality, those that can be judged first, then by title."""
    availability = services().analyses.modalities()
    found = [
        Offer(
            spec=spec,
            card=availability[key].card,
            gate_card=availability[key].gate_card,
            reason=availability[key].reason,
        )
        for key, spec in modalities().items()
        if key in availability
    ]
    return sorted(found, key=lambda offer: (not offer.is_available, offer.spec.title))


def serving_card(modality: str, weights_sha256: str) -> Card | None:
    """Return the card of the weights that gave a verdict, if they still serve the modality."""
    availability = services().analyses.modalities().get(modality)
    card = availability.card if availability else None
    return card if card and card.sha256 == weights_sha256 else None


def serving_gate_card(modality: str) -> GateCard | None:
    """Return the card of the gate that serves a modality now; None where there is none."""
    availability = services().analyses.modalities().get(modality)
    return availability.gate_card if availability else None


def title_of(modality: str) -> str:
    """Return a modality's name for people; its key where this version does not know it."""
    spec = modalities().get(modality)
    return spec.title if spec else modality


def noun_of(modality: str) -> str:
    """Return the scan's name in a sentence; ``scan`` where this version does not know it."""
    spec = modalities().get(modality)
    return spec.noun if spec else "scan"
