"""Wires what takes uploads in: reading, keeping together, and the verdicts on studies."""

from dataclasses import dataclass
from uuid import UUID

from app.services.analyses.analyses import AnalysisService
from app.services.analyses.studies import StudyService
from app.services.decoding.archives import ArchiveLimits
from app.services.ground import Ground
from app.services.uploads.reader import UploadReader
from app.services.uploads.uploads import UploadService, UploadStores
from app.storage.analyses import AnalysisStore
from app.storage.studies import StudyStore
from app.storage.uploads import UploadStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """What takes uploads in."""

    uploads: UploadService
    studies: StudyService

    def forget(self, user_id: UUID) -> None:
        """Forget all uploads and studies of a user; their analyses go on their own."""
        self.uploads.delete_of_user(user_id)
        self.studies.delete_of_user(user_id)


def build_intake(ground: Ground, analyses: AnalysisService) -> Intake:
    """Wire what takes uploads in to the database and to the analyses."""
    database, settings, audit = ground.database, ground.settings, ground.audit
    stores = UploadStores(
        uploads=UploadStore(database),
        studies=StudyStore(database),
        analyses=AnalysisStore(database),
    )
    limits = ArchiveLimits(
        max_bytes=settings.max_archive_bytes, max_member_bytes=settings.max_upload_bytes
    )
    reader = UploadReader(analyses, stores.uploads, stores.studies, limits)
    studies = StudyService(stores.studies, stores.uploads, analyses, audit)
    return Intake(uploads=UploadService(reader, analyses, studies, stores, audit), studies=studies)
