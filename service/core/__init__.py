"""What every package may use: values, errors, claims, JSON, and the environment."""
