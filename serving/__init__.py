"""The host: from a model's name to running, supervised processes. It never handles a client's request."""
