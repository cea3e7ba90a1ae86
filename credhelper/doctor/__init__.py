"""The doctor: looks at everything credhelper depends on, changes nothing, and says what is wrong and how to mend it."""
