"""The daemon as a service: its files, what is captured for it, the manager that runs it."""
