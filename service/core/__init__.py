"""What every room may use: the values that travel, errors, claims, JSON, and the environment."""
