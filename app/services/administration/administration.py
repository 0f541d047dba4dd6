"""The services behind the administrators' pages, wired in one place."""

from dataclasses import dataclass

from app.engine.protocol import Engine
from app.services.accounts.accounts import AccountService
from app.services.accounts.quotas import QuotaService
from app.services.accounts.sessions import SessionService
from app.services.administration.bulk_acts import BulkActService
from app.services.administration.user_directory import UserDirectory
from app.services.decoding.decoding import DecodingService
from app.services.detectors.calibration import CalibrationService
from app.services.detectors.detectors import DetectorService
from app.services.detectors.drift import DriftService
from app.services.ground import Ground
from app.services.upkeep.monitoring import MonitoringService
from app.storage.calibration import CalibrationStore
from app.storage.shadow import ShadowStore
from app.storage.statistics import StatisticsStore


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


def build_administration(
    ground: Ground,
    engine: Engine,
    decoding: DecodingService,
    accounts: AccountService,
    sessions: SessionService,
    quotas: QuotaService,
) -> Administration:
    """Wire the services of the administrators' pages."""
    database, audit = ground.database, ground.audit
    statistics = StatisticsStore(database)
    return Administration(
        directory=UserDirectory(accounts),
        bulk_acts=BulkActService(ground.users, sessions, audit),
        quotas=quotas,
        monitoring=MonitoringService(ground.settings, engine, database),
        drift=DriftService(statistics),
        statistics=statistics,
        detectors=DetectorService(engine, ShadowStore(database), audit),
        calibration=CalibrationService(engine, CalibrationStore(database), decoding, audit),
    )
