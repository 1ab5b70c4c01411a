"""The gateway: from a client's HTTP request to the engine and back."""

__version__ = "0.1.0"
