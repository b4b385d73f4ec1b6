"""How gunicorn serves the app."""
