"""AWS's side of the outside: its files in the home directory and its APIs."""
