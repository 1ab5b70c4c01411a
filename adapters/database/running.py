"""The database of the stack that runs on this machine, for commands."""

from pydantic import SecretStr

from adapters.settings import LogSettings, Settings, home


def log_settings() -> LogSettings:
    """The settings of the log; where DATABASE_URL is not set, of the stack that runs on this machine."""
    settings = Settings.read().log
    running = home() / "run" / "database-url"
    if "database_url" in settings.model_fields_set or not running.is_file():
        return settings
    return settings.model_copy(update={"database_url": SecretStr(running.read_text().strip())})
