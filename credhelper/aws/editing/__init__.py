"""Changing ``~/.aws/config``: what is to change, on its lines, and the proof that nothing else does."""
