"""What can go wrong on the host, said in a sentence that tells what to do."""


class HostError(Exception):
    """Something that the host needs is missing or refused; the message says what to do."""


class BadSettings(HostError):
    """The environment holds settings that cannot be used."""


class CannotRun(HostError):
    """A part cannot run here at all: trying again would not help."""


class StartFailed(HostError):
    """A part did not come up this time; it may be tried again."""


class CannotPlan(HostError):
    """What was asked cannot be planned with; the message names the option."""
