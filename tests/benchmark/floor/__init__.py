"""The floor: what no Python service of this shape can go below."""
