"""What the daemon knows and does. All state lives on one event loop."""
