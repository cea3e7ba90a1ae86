"""credhelper's tests: of its parts, of the whole program as a person runs it, and with other people's programs."""
