"""Amazon Cognito identity pools: the rules of their trust and access policies. Pure: package data is all it reads."""
