"""The page about the settings says what the settings are."""

import re

from docs.write_settings import FILE, document, gateway_variables, host_variables
from tests.architecture.checkout import files


def test_settings_page_is_written_from_the_settings() -> None:
    """A setting that is added, changed or removed changes the page with it."""
    assert FILE.read_text() == document(), "run: .venv/bin/python -m docs.write_settings"


def test_every_setting_says_what_it_means() -> None:
    """No row of the page has an empty cell, and every variable has a row."""
    rows = [line.strip("| ").split(" | ") for line in document().splitlines() if line.startswith("| `")]
    assert {row[0].strip("`") for row in rows} == gateway_variables() | host_variables()
    for row in rows:
        assert len(row) == 3, row
        assert all(row), row


def test_documents_name_only_settings_that_exist() -> None:
    """A variable that was renamed leaves no old name behind."""
    of_examples = {"ZEPHYR_URL", "ZEPHYR_KEY"}
    known = gateway_variables() | host_variables() | {"ZEPHYR_ENGINE_BUILD"} | of_examples
    for page in files("*.md"):
        named = set(re.findall(r"\bZEPHYR_[A-Z_]*[A-Z]\b", page.read_text()))
        assert named <= known, f"{page.name}: {named - known}"
