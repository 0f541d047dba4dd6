"""The page of a verdict: everything that explains it, put together."""

from flask import render_template

from app.detection.labels import Verdict
from app.detection.verdict import Finding
from app.records import Analysis
from app.services.analyses.judging import SYNTHETIC_REASON
from app.web.analyses.alarms import worth_of_alarms
from app.web.analyses.checks import checks_of
from app.web.analyses.failures import failure_groups, likeliest_failure
from app.web.analyses.performance import figures_by_generator, rates_of, trust_in_heatmap
from app.web.analyses.score_drawing import draw
from app.web.context import services, viewer
from app.web.offers import noun_of, serving_card, serving_gate_card, title_of
from app.web.wording import badge_of, certainty, headline, hounsfield, meaning


def verdict_page(analysis: Analysis, finding: Finding) -> str:
    """Return the page of an analysis that is done."""
    noun = noun_of(analysis.modality)
    card = serving_card(analysis.modality, finding.weights_sha256)
    return render_template(
        "analyses/verdict.html",
        analysis=analysis,
        finding=finding,
        title=title_of(analysis.modality),
        noun=noun,
        headline=headline(finding.verdict, noun),
        certainty=certainty(finding),
        meaning=meaning(finding.verdict, card) if card else "",
        worth=worth_of_alarms(card) if card else "",
        is_alarm=finding.verdict is Verdict.FAKE,
        badge=badge_of(analysis),
        drawing=draw(finding) if finding.probability_fake is not None else None,
        checks=checks_of(finding, noun, serving_gate_card(analysis.modality)),
        # Said at the top of the page already.
        reasons=[reason for reason in finding.reasons if reason != SYNTHETIC_REASON],
        card=card,
        trust_in_heatmap=trust_in_heatmap(card, finding.verdict) if card else "",
        rates=rates_of(card) if card else [],
        generators=figures_by_generator(card) if card else [],
        failures=failure_groups(card) if card else [],
        likeliest_failure=likeliest_failure(card, finding.verdict) if card else "",
        hounsfield_words=[hounsfield(end) for end in analysis.hounsfield or ()],
        owner=_owner_name(analysis),
        study_id=services().intake.studies.study_of(analysis.id),
    )


def _owner_name(analysis: Analysis) -> str | None:
    """Return whose analysis it is, for those who look at another user's; None at one's own."""
    if analysis.user_id == viewer().id:
        return None
    owner = services().accounts.find(analysis.user_id)
    return owner.username if owner else "a user who is gone"
