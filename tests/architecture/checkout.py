"""The checkout as git sees it: what is tracked, and what will be."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def files(*patterns: str) -> list[Path]:
    """The files that git tracks or would add, of these patterns."""
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns]
    names = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [
        path for path in (ROOT / name for name in sorted(set(names.split("\0"))) if name) if path.is_file()
    ]
