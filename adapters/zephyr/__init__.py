"""The documented /zephyr endpoints."""
