"""What ``credhelper _complete`` is made of: a command line that is not whole yet, and the names that go on with it."""
