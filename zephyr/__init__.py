"""The command line: the only place that knows both the gateway and the host."""
