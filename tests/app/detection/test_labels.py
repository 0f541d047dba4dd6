from app.detection.labels import Label, Verdict


def test_fake_is_one_and_real_is_zero() -> None:
    assert int(Label.FAKE) == 1
    assert int(Label.REAL) == 0


def test_there_are_four_verdicts_and_none_claims_more_than_it_may() -> None:
    assert {verdict.value for verdict in Verdict} == {
        "real",
        "fake",
        "inconclusive",
        "not_judged",
    }
