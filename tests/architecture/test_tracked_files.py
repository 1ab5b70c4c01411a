"""What is committed belongs to the project and to no machine."""

import re

from tests.architecture.checkout import ROOT, files

REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|npmjs\.|registry\.yarnpkg|deb\.debian\.org|download\.pytorch\.org|proxy\.golang\.org"
)
MACHINE_PATHS = re.compile(r"(?<![\w.])/(work|opt/wheels|opt/pypi|root|home/\w+|Users/\w+|tmp/[xh]\d?)/")
SECRETS = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY|\bhf_[A-Za-z0-9]{30}|\bsk-[A-Za-z0-9]{32}")
LARGEST_BYTES = 2**20


def test_no_file_names_a_registry_a_machine_or_a_secret() -> None:
    """Where packages come from is the machine's business, and so is where the checkout lies."""
    for file in files("."):
        try:
            text = file.read_text()
        except UnicodeDecodeError:
            continue
        for pattern in (REGISTRIES, MACHINE_PATHS, SECRETS):
            found = pattern.search(text)
            assert not found, f"{file.relative_to(ROOT)}: {found.group() if found else ''}"


def test_no_file_is_large() -> None:
    """Models, logs and dumps are not committed."""
    large = [str(file.relative_to(ROOT)) for file in files(".") if file.stat().st_size > LARGEST_BYTES]
    assert not large
