"""What the gateway needs of the system it runs on."""

import subprocess
import sys

_WITHOUT = "import sys; sys.modules.update(dict.fromkeys(['fcntl', 'uvloop', 'pwd', 'termios'])); import adapters.server"


def test_the_gateway_needs_nothing_that_windows_lacks() -> None:
    """`run.bat` starts the gateway alone where vLLM, and what Unix has, are missing."""
    subprocess.run([sys.executable, "-c", _WITHOUT], check=True)
