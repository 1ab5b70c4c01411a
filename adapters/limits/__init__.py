"""How much a key and a tenant may ask for, counted over all gateways (docs/decisions/0021)."""
