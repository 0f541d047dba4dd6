"""The certificates that were issued, in the SQL database; they go with their analysis."""

from dataclasses import asdict, dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.storage.database import METADATA, Database, UtcDateTime

CERTIFICATES = sa.Table(
    "certificates",
    METADATA,
    sa.Column("signature", sa.String(128), primary_key=True),
    sa.Column(
        "analysis_id",
        sa.Uuid,
        sa.ForeignKey("analyses.id", ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("image_sha256", sa.String(64), nullable=False, index=True),
    sa.Column("report", sa.Text, nullable=False),
    sa.Column("issued", UtcDateTime, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """A report that was signed and handed out.

    Attributes:
        signature: Of the report, hex.
        image_sha256: Hash of the file that was judged, hex.
        report: What was signed, as canonical JSON.
        issued: When it was handed out first.
    """

    signature: str
    analysis_id: UUID
    image_sha256: str
    report: str
    issued: datetime


class CertificateStore:
    """Keeps what was issued, so that a changed copy can be compared with it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, certificate: Certificate) -> bool:
        """Keep a certificate; return False where it is there already, and stays as it is.

        Raises:
            StorageError: The database failed, or the analysis was deleted meanwhile.
        """
        known = sa.select(CERTIFICATES.c.signature).where(
            CERTIFICATES.c.signature == certificate.signature
        )
        with self._database.writing() as connection:
            if connection.execute(known).first() is not None:
                return False
            connection.execute(CERTIFICATES.insert().values(asdict(certificate)))
            return True

    def find(self, signature: str) -> Certificate | None:
        """Return the certificate with a signature, or None."""
        statement = sa.select(CERTIFICATES).where(CERTIFICATES.c.signature == signature)
        with self._database.reading() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else Certificate(**row)

    def exists_for_image(self, image_sha256: str) -> bool:
        """Return whether a certificate was issued for a file."""
        statement = (
            sa.select(CERTIFICATES.c.signature)
            .where(CERTIFICATES.c.image_sha256 == image_sha256)
            .limit(1)
        )
        with self._database.reading() as connection:
            return connection.execute(statement).first() is not None
