"""Small commands that belong to no one part."""
