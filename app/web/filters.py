"""Small pure filters for the templates."""

from datetime import UTC, datetime, timedelta

from flask import Flask

from app.detection.titles import heading_of_data, with_titles
from app.web.wording import band_in_words, in_figures


def iso_utc(when: datetime) -> str:
    """Write a moment for a machine: ``2026-11-20T10:00:00Z``."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def plain_utc(when: datetime) -> str:
    """Write a moment for a person: ``20 November 2026, 10:00 UTC``."""
    return f"{plain_day(when)}, {when.astimezone(UTC).strftime('%H:%M')} UTC"


def plain_day(when: datetime) -> str:
    """Write a day for a person: ``20 November 2026``."""
    in_utc = when.astimezone(UTC)
    return f"{in_utc.day} {in_utc.strftime('%B %Y')}"


def short_digest(digest: str) -> str:
    """Return as much of a SHA-256 as a person compares."""
    return digest[:12]


def megabytes(size_bytes: int) -> str:
    """Write a size: ``32 MB``."""
    return f"{size_bytes / 2**20:.0f} MB"


def gigabytes(size_bytes: int) -> str:
    """Write a size: ``1.5 GB``."""
    return f"{size_bytes / 2**30:,.1f} GB"


def duration(span: timedelta) -> str:
    """Write a span of time in its two largest units: ``3 days, 4 hours``."""
    minutes = int(span.total_seconds()) // 60
    parts = (
        (minutes // 1440, "day"),
        (minutes // 60 % 24, "hour"),
        (minutes % 60, "minute"),
    )
    words = [f"{count} {unit}{'' if count == 1 else 's'}" for count, unit in parts if count]
    return ", ".join(words[:2]) or "less than a minute"


def init_app(app: Flask) -> None:
    """Make the filters known to the templates."""
    times = (iso_utc, plain_utc, plain_day, duration)
    figures = (short_digest, megabytes, gigabytes, in_figures, band_in_words)
    for view in (*times, *figures, heading_of_data, with_titles):
        app.add_template_filter(view)
