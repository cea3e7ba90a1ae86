"""The list that a person chooses from who has named no profile and no session."""
