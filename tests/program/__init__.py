"""The whole program: real processes and sockets against the embedded sandbox."""
