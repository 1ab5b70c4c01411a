"""Who may start a generation, and how many at once."""
