"""The services of one application, built and wired in one place."""

from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event, Lock
from typing import Protocol

from app.config import Settings
from app.detection.limits import DecodingLimits
from app.engine.protocol import Engine
from app.errors import AccountInactiveError
from app.records import Analysis
from app.services.accounts.accounts import AccountService
from app.services.accounts.identity import Identity, build_identity
from app.services.accounts.passwords import PasswordService
from app.services.accounts.quotas import QuotaService
from app.services.administration.administration import (
    Administration,
    build_administration,
)
from app.services.analyses.analyses import AnalysisService
from app.services.analyses.history import HistoryService
from app.services.analyses.notes import NoteService
from app.services.audit import AuditService
from app.services.certificates.certificates import CertificateService
from app.services.certificates.signing import SigningService
from app.services.certificates.verification import VerificationService
from app.services.clock import Clock, utc_now
from app.services.decoding.decoding import DecodingService, bounds_for, series_key
from app.services.decoding.pool import DecodingPool
from app.services.detectors.tally import VerdictTally
from app.services.ground import Ground, lay_ground
from app.services.rate_limits import RateLimits
from app.services.reviews.agreement import AgreementService
from app.services.reviews.blindness import BlindnessService
from app.services.reviews.labels import LabelService
from app.services.reviews.reviews import ReviewService
from app.services.site_settings import SiteSettingsService
from app.services.upkeep.backup import BackupService, BackupSources
from app.services.upkeep.personal_data import PersonalDataService
from app.services.upkeep.readiness import ReadinessService
from app.services.upkeep.retention import RetentionSchedule, RetentionService
from app.services.uploads.intake import Intake, build_intake
from app.storage.analyses import AnalysisStore
from app.storage.certificates import CertificateStore
from app.storage.expiry import ExpiryStore
from app.storage.history import HistoryStore
from app.storage.images import ImageStore
from app.storage.notes import NoteStore
from app.storage.quotas import QuotaStore
from app.storage.reviews import ReviewStore
from app.storage.signing_key import PrivateKeyFile, PublicKeyStore
from app.storage.statistics import StatisticsStore
from app.storage.uploads import UploadStore
from app.storage.users import UserStore


class Closable(Protocol):
    """A store that holds files or connections open."""

    def close(self) -> None:
        """Let go of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the web pages, the API and the command line work with.

    The factory keeps it as ``app.extensions["veriscan"]``.

    Attributes:
        secret_key: With which sessions are signed, from the settings or from the data folder.
        stores: What is to be closed at the end.
    """

    settings: Settings
    engine: Engine
    identity: Identity
    accounts: AccountService
    decoding: DecodingService
    personal_data: PersonalDataService
    analyses: AnalysisService
    intake: Intake
    history: HistoryService
    notes: NoteService
    audit: AuditService
    site_settings: SiteSettingsService
    administration: Administration
    signing: SigningService
    certificates: CertificateService
    verification: VerificationService
    reviews: ReviewService
    agreement: AgreementService
    labels: LabelService
    rate_limits: RateLimits
    images: ImageStore
    verdicts: VerdictTally
    readiness: ReadinessService
    retention: RetentionService
    retention_schedule: RetentionSchedule
    backup: BackupService
    secret_key: str = field(repr=False)
    stores: tuple[Closable, ...] = field(repr=False)
    _starting: Lock = field(default_factory=Lock, init=False, repr=False)
    _is_started: Event = field(default_factory=Event, init=False, repr=False)

    def start(self) -> None:
        """Load the weights and take up the analyses that a restart interrupted.

        For the one serving process, after a fork: building the services starts nothing, so that
        ``flask create-admin`` neither loads weights nor disturbs the server. A second call does
        nothing, but waits for the first.

        Raises:
            EngineError: The engine cannot start, or has been stopped.
            StorageError: The database cannot be read.
        """
        with self._starting:
            if self._is_started.is_set():
                return
            self.decoding.start()
            self.engine.start()
            self.administration.detectors.resume()
            self.intake.uploads.resume()
            self.analyses.resume()
            self.retention_schedule.start()
            self._is_started.set()

    def stop(self) -> None:
        """Stop the engine and store what it has finished; the rest waits for the next start."""
        self._is_started.clear()
        self.retention_schedule.stop()
        self.intake.uploads.close()
        self.engine.stop()
        self.analyses.close()
        self.administration.detectors.close()
        for store in self.stores:
            store.close()


def build_services(
    settings: Settings,
    engine: Engine,
    passwords: PasswordService | None = None,
    clock: Clock = utc_now,
    pool: DecodingPool | None = None,
) -> Services:
    """Open the stores in the data folder (made where missing) and wire the services to them.

    Args:
        settings: Of this server.
        engine: Judges the scans; not started here.
        passwords: How passwords are hashed; only tests give a cheaper way than the default.
        clock: Tells the time around sessions, codes, links and throttling; only tests give one.
        pool: The processes that decode scans, to be closed by whoever gives it; only tests share
            one.

    Raises:
        StorageError: The data folder cannot be used, or its database is of another version.
    """
    ground = lay_ground(settings, clock)
    database, audit, images = ground.database, ground.audit, ground.images
    limits = DecodingLimits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_pixels)
    own_pool = DecodingPool(bounds_for(limits))  # which has no process before it is needed
    decoding = DecodingService(pool or own_pool, limits, series_key(ground.secret_key))
    quotas = QuotaService(
        StatisticsStore(database), QuotaStore(database), ground.site_settings, audit
    )
    reviews = ReviewStore(database)
    blindness = BlindnessService(reviews, images, audit)
    analyses = AnalysisService(
        engine,
        AnalysisStore(database),
        images,
        decoding,
        audit,
        admit=lambda analysis: _admit(analysis, ground.users, quotas, blindness),
    )
    identity = build_identity(ground, passwords or PasswordService())
    intake = build_intake(ground, analyses)
    accounts = _accounts(ground, identity, analyses, intake)
    administration = build_administration(
        ground, engine, decoding, accounts, identity.sessions, quotas
    )
    verdicts = VerdictTally()
    analyses.supervise(
        watch=administration.detectors.watch,
        adjusted=verdicts.counting(administration.calibration.applied),
    )
    private_key = PrivateKeyFile(settings.data_dir, settings.signing_key_file)
    signing = SigningService(private_key, PublicKeyStore(database))
    certificates = CertificateStore(database)
    retention = _retention(ground, analyses)
    history = _history(ground, analyses, intake)
    return Services(
        settings=settings,
        engine=engine,
        identity=identity,
        accounts=accounts,
        decoding=decoding,
        personal_data=PersonalDataService(identity, history, images, reviews, audit),
        analyses=analyses,
        intake=intake,
        history=history,
        notes=NoteService(NoteStore(database), analyses, audit),
        audit=audit,
        site_settings=ground.site_settings,
        administration=administration,
        signing=signing,
        certificates=CertificateService(analyses, signing, certificates, audit),
        verification=VerificationService(signing, certificates),
        reviews=ReviewService(reviews, AnalysisStore(database), images, audit),
        agreement=AgreementService(reviews),
        labels=LabelService(reviews, images, audit),
        rate_limits=RateLimits(settings.api_requests_per_min, clock),
        images=images,
        verdicts=verdicts,
        readiness=ReadinessService(engine, database, settings.data_dir),
        retention=retention,
        retention_schedule=RetentionSchedule(retention),
        backup=BackupService(
            BackupSources(settings=settings, users=ground.users, database=database, images=images),
            audit,
        ),
        secret_key=ground.secret_key,
        stores=(own_pool, identity.mail, ground.users, database),
    )


def _accounts(
    ground: Ground, identity: Identity, analyses: AnalysisService, intake: Intake
) -> AccountService:
    forget = (
        identity.tokens.forget,
        identity.sessions.forget,
        identity.second_factors.forget,
        identity.resets.forget,
        identity.throttle.forget,
        intake.forget,
        analyses.removal.delete_of_user,
    )
    return AccountService(ground.users, identity, ground.audit, forget=forget)


def _history(ground: Ground, analyses: AnalysisService, intake: Intake) -> HistoryService:
    database = ground.database
    return HistoryService(
        HistoryStore(database),
        NoteStore(database),
        UploadStore(database),
        analyses,
        intake.studies,
        ground.audit,
    )


def _retention(ground: Ground, analyses: AnalysisService) -> RetentionService:
    return RetentionService(
        ExpiryStore(ground.database),
        analyses.removal.expire,
        ground.site_settings,
        ground.audit,
        clock=ground.clock,
        session_max=timedelta(seconds=ground.settings.session_max_s),
    )


def _admit(
    analysis: Analysis, users: UserStore, quotas: QuotaService, blindness: BlindnessService
) -> None:
    """Check that the owner of a new analysis may keep it.

    Raises:
        AccountInactiveError: They were deactivated or deleted meanwhile.
        QuotaExceededError: Their scans take more room than they may.
        ScanUnderReviewError: They are to give a blind opinion on this very scan.
    """
    user = users.find(analysis.user_id)
    if user is None or not user.is_active:
        raise AccountInactiveError
    quotas.check(user.id)
    blindness.check(user, analysis)
