"""An embedded IAM Identity Center on loopback: strict enough to test against, pleasant enough to show."""
