"""What the API's description says of keys."""

from typing import Any


def document(described: dict[str, Any]) -> dict[str, Any]:
    """The description with the two ways of sending a key."""
    schemes = {
        "key": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    }
    described["components"]["securitySchemes"] = schemes
    described["security"] = [{name: []} for name in schemes]
    return described
