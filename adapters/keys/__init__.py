"""Keys: who may call, what they may do, and how a gateway knows without asking PostgreSQL at each request."""
