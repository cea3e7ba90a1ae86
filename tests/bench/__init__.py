"""How fast and how large: figures, not tests. ``python -m tests.bench`` prints the README's table."""
