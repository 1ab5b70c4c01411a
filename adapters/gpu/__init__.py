"""Live GPU and engine statistics."""
