"""How good a detector is, in numbers of a hundred."""

from app.detection.card import Estimate
from app.detection.labels import Verdict
from app.web.analyses.performance import (
    figures_by_generator,
    figures_of,
    in_short,
    rates_of,
    trust_in_heatmap,
)
from tests.factories import make_card


def test_rates_are_told_as_numbers_of_a_hundred_with_intervals_rounded_outwards() -> None:
    card = make_card(
        metrics={
            "false_alarm_rate": Estimate(value=0.012, low=0.001, high=0.0301),
            "miss_rate": Estimate(value=0.0, low=0.0, high=0.04),
            "coverage": Estimate(value=0.91, low=0.885, high=0.94),
        }
    )

    false_alarms, misses, inconclusive = rates_of(card)

    assert (false_alarms.count, false_alarms.interval) == ("about 1", "95 % interval 0 to 4")
    assert (misses.count, misses.interval) == ("none", "95 % interval 0 to 4")
    assert (inconclusive.count, inconclusive.interval) == ("about 9", "95 % interval 6 to 12")


def test_a_rate_says_on_how_many_scans_it_stands_and_is_drawn_as_dots() -> None:
    measured = Estimate(value=0.04, note="221 scans of 146 patients or synthetic scans")

    (rate,) = rates_of(make_card(metrics={"miss_rate": measured}))

    assert rate.scans == "221 scans of 146 patients"
    assert (rate.dots.marked.count("M"), rate.dots.others.count("M")) == (4, 96)


def test_a_detector_is_told_in_one_sentence() -> None:
    assert in_short(make_card()) == (
        "On scans that it had never seen, about 4 of 100 authentic scans are called fake, about 7 "
        "of 100 fakes are called authentic and about 9 of 100 scans stay inconclusive."
    )
    assert in_short(make_card(metrics={})) == ""


def test_what_was_not_measured_is_left_out_of_the_rates() -> None:
    assert rates_of(make_card(metrics={})) == []
    assert rates_of(make_card(metrics={"miss_rate": Estimate(value=None, note="none")})) == []


def test_a_rate_without_an_interval_claims_none() -> None:
    (rate,) = rates_of(make_card(metrics={"coverage": Estimate(value=0.5)}))

    assert (rate.count, rate.interval) == ("about 50", "")


def test_a_heatmap_comes_with_how_often_it_showed_the_edit() -> None:
    card = make_card(
        metrics={
            "pointing_called_fake": Estimate(value=0.94),
            "pointing_inconclusive": Estimate(value=0.26),
        }
    )

    assert trust_in_heatmap(card, Verdict.FAKE) == (
        "In about 94 of 100 tests with edited scans that were called fake the strongest colour lay "
        "on the edit."
    )
    assert trust_in_heatmap(card, Verdict.INCONCLUSIVE).endswith(
        "that stayed inconclusive the strongest colour lay on the edit. So do not take it for a "
        "finding."
    )
    assert trust_in_heatmap(card, Verdict.REAL) == ""


def test_nothing_is_said_of_heatmaps_that_nobody_counted() -> None:
    unmeasured = make_card(metrics={"pointing_called_fake": Estimate(value=None, note="none")})

    for verdict in Verdict:
        assert trust_in_heatmap(make_card(metrics={}), verdict) == ""
        assert trust_in_heatmap(unmeasured, verdict) == ""


def test_every_figure_is_listed_those_with_plain_names_first() -> None:
    card = make_card(
        metrics={
            "own_figure": Estimate(value=0.5),
            "ece": Estimate(value=None, note="too few scans"),
            "auc": Estimate(value=0.93, low=0.9, high=0.96),
        }
    )

    figures = figures_of(card)

    assert [figure.name for figure in figures] == [
        "Area under the ROC curve",
        "Expected calibration error",
        "Own figure",
    ]
    assert (figures[0].value, figures[0].interval) == ("0.930", "0.900 to 0.960")
    assert (figures[1].value, figures[1].note) == ("not measured", "too few scans")


def test_each_generator_has_its_figure() -> None:
    card = make_card(metrics_by_generator={"nodule_removal": Estimate(value=0.8)})

    (figure,) = figures_by_generator(card)

    assert (figure.name, figure.value, figure.interval) == ("Nodule removal", "0.800", "")
