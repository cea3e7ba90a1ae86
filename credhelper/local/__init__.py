"""This machine's side of the outside: directories, locks, processes, threads, clocks."""
