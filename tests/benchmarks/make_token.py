"""Makes an account and an API token in a data folder; prints the secret of the token."""

import sys
from pathlib import Path

from app.config import Settings
from app.factory import create_app
from app.web.context import EXTENSION

USERNAME = "bench"
PASSWORD = "ravine otter lamp 91"


def main() -> None:
    """Make the token for the data folder that the first argument names."""
    app = create_app(Settings(data_dir=Path(sys.argv[1])))
    services = app.extensions[EXTENSION]
    user = services.identity.registration.create_admin(
        username=USERNAME, email="bench@hospital.org", mobile="", password=PASSWORD
    )
    print(services.identity.tokens.create(user.id, "benchmark")[1])


if __name__ == "__main__":
    main()
