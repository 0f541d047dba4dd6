"""The services behind the administrators' pages, wired in one place."""

from dataclasses import dataclass

from app.config import Settings
from app.engine.protocol import Engine
from app.services.accounts.accounts import AccountService
from app.services.accounts.quotas import QuotaService
from app.services.accounts.sessions import SessionService
from app.services.administration.bulk_acts import BulkActService
from app.services.administration.user_directory import UserDirectory
from app.services.audit import AuditService
from app.services.decoding.decoding import DecodingService
from app.services.detectors.calibration import CalibrationService
from app.services.detectors.detectors import DetectorService
from app.services.detectors.drift import DriftService
from app.services.upkeep.monitoring import MonitoringService
from app.storage.calibration import CalibrationStore
from app.storage.database import Database
from app.storage.shadow import ShadowStore
from app.storage.statistics import StatisticsStore
from app.storage.users import UserStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Administration:
    """What only administrators work with."""

    directory: UserDirectory
    bulk_acts: BulkActService
    quotas: QuotaService
    monitoring: MonitoringService
    drift: DriftService
    statistics: StatisticsStore
    detectors: DetectorService
    calibration: CalibrationService


@dataclass(frozen=True, slots=True, kw_only=True)
class Premises:
    """What the services of the administrators' pages stand on."""

    settings: Settings
    engine: Engine
    database: Database
    accounts: AccountService
    users: UserStore
    sessions: SessionService
    audit: AuditService
    quotas: QuotaService
    decoding: DecodingService


def build_administration(on: Premises) -> Administration:
    """Wire the services of the administrators' pages."""
    engine, database, audit = on.engine, on.database, on.audit
    statistics = StatisticsStore(database)
    return Administration(
        directory=UserDirectory(on.accounts),
        bulk_acts=BulkActService(on.users, on.sessions, audit),
        quotas=on.quotas,
        monitoring=MonitoringService(on.settings, engine, database),
        drift=DriftService(statistics),
        statistics=statistics,
        detectors=DetectorService(engine, ShadowStore(database), audit),
        calibration=CalibrationService(engine, CalibrationStore(database), on.decoding, audit),
    )
