"""The commands below ``credhelper configure``, and how each shows its change and asks."""
