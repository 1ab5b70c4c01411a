"""The same request with the same `Idempotency-Key` is answered once, however often it is sent."""
