"""Under a real `systemd --user`."""
