"""credhelper: an agent for AWS IAM Identity Center.

This file stays free of imports: Python runs it before any module of the package, the fast ones included.
"""

__version__ = "0.1.0"
