"""Every system call with which we change a home, killed or failed in its turn."""
