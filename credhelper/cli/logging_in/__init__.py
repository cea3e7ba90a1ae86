"""What ``credhelper login`` is made of: which way is taken, how it is shown, and what comes after it."""
