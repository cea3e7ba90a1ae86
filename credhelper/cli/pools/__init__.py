"""``credhelper cognito pool``, ``identities`` and ``import-role``: pools changed with an admin's credentials."""
