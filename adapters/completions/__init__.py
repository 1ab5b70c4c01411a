"""The one path of every generation."""
