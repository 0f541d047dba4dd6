"""What a browser and its system are called, so that somebody can tell their sessions apart."""

# The first part that is found decides: others come disguised as those further down.
BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
SYSTEMS = (
    ("Windows", "Windows"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Mac OS X", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def device_of(user_agent: str) -> str:
    """Return for instance “Firefox on Windows”; nothing of what the client sent is repeated."""
    browser = _first(BROWSERS, user_agent, "Unknown browser")
    system = _first(SYSTEMS, user_agent, "")
    return f"{browser} on {system}" if system else browser


def _first(known: tuple[tuple[str, str], ...], text: str, otherwise: str) -> str:
    return next((name for part, name in known if part in text), otherwise)
