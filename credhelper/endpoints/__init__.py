"""The daemon's doors."""
