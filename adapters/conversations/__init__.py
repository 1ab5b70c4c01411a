"""What was said, kept whatever happens."""
