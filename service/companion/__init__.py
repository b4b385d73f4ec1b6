"""What an insecure client runs: mint at the token service, then connect with the secret."""
