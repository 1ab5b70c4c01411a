"""What a part says about itself, for whoever shows it: its name, how it is, and a sentence."""

from collections.abc import Callable
from typing import Literal

Kind = Literal["busy", "ready", "trouble", "stopped"]
Tell = Callable[[str, Kind, str], None]
