"""A month of a machine's life in a minute: everything real but the time, AWS, and the chance that decides."""
