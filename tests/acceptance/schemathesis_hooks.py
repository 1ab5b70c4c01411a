"""What Schemathesis has to be told: how a body of JSON lines is written."""

import schemathesis


@schemathesis.serializer("application/x-ndjson")
def lines(_: schemathesis.SerializationContext, value: object) -> bytes:
    """The text itself, as good or bad as it was made."""
    return str(value).encode(errors="surrogatepass")
