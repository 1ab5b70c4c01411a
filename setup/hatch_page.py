"""Hatchling's hook: a wheel brings the built page along. A checkout has it from `setup/environment.py`."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).parent))
import page  # beside this file, which is loaded by its path


class BuildPage(BuildHookInterface):  # type: ignore[misc,type-arg]
    """Builds the page before the wheel is packed; without npm's registry the wheel is one without the page."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build it, but for an editable install and for the engine's image, which is made without its sources."""
        if version == "editable" or not page.SOURCES.is_dir():
            return
        try:
            page.build()
        except page.PageNotBuilt as problem:
            self.app.display_warning(f"The chat page is not in this wheel: {problem}")
