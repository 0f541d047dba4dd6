"""The application as servers and the ``flask`` command find it."""

import sys

from app.config import CANNOT_START, Settings
from app.errors import SettingError, StorageError
from app.factory import create_app

try:
    application = create_app(Settings.from_env())
except (SettingError, StorageError) as error:
    sys.stderr.write(f"Veriscan cannot start. {error}\n")
    sys.exit(CANNOT_START)
