"""Backups of the database, by PostgreSQL's own programs: made, known to be whole, restored as a whole or not at all."""
