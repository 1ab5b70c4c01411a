"""The PostgreSQL connection, its tables' base and its migrations."""
