"""Logs, request ids and health."""
