"""Who calls. Until there are keys, everybody who reaches the gateway is the local user."""

LOCAL = "local"
