"""The filters of the templates."""

from datetime import UTC, datetime, timedelta, timezone

from app.web.filters import iso_utc, megabytes, plain_day, plain_utc, short_digest

EVENING_IN_NEW_YORK = datetime(2026, 11, 19, 20, 5, tzinfo=timezone(timedelta(hours=-5)))


def test_moments_are_written_in_utc_for_machines_and_people() -> None:
    assert iso_utc(EVENING_IN_NEW_YORK) == "2026-11-20T01:05:00Z"
    assert plain_utc(EVENING_IN_NEW_YORK) == "20 November 2026, 01:05 UTC"
    assert plain_day(datetime(2026, 1, 2, tzinfo=UTC)) == "2 January 2026"


def test_sizes_and_digests_are_as_long_as_people_read_them() -> None:
    assert megabytes(32 * 2**20) == "32 MB"
    assert short_digest("0123456789abcdef") == "0123456789ab"
