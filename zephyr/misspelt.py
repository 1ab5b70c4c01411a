"""Variables that are nearly the name of a setting: what they ask for is not done, and nothing else would say so."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches

from adapters.settings import Settings as GatewaySettings
from serving.settings import Settings as HostSettings

_NEAR = 0.85  # a letter or two; somebody else may have variables that begin with ours


def misspelt(environment: Iterable[str]) -> Iterator[str]:
    """What to tell of each of these variables that is no setting, and was meant to be one."""
    known = GatewaySettings.variables() | HostSettings.variables()
    for name in sorted(name for name in environment if name.startswith("ZEPHYR_") and name not in known):
        for meant in get_close_matches(name, sorted(known), n=1, cutoff=_NEAR):
            yield f"{name} is no setting and does nothing; {meant} is one"
