"""How often: limits a caller, an address and everybody together may use up."""
