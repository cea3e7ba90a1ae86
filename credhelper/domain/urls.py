"""Which addresses a token or a person may be sent to, and how an address is shown."""

import re
from urllib.parse import urlsplit

_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@|\A[^/?#\s]*@")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def is_https_or_loopback(url: str) -> bool:
    """Whether ``url`` is https, or plain http that does not leave this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK))


def without_userinfo(text: str) -> str:
    """``text`` with the user and password of every URL in it, or of a proxy that it begins with, as ``***``."""
    return _USERINFO.sub("***@", text)


def is_loopback(url: str) -> bool:
    """Whether ``url`` does not leave this machine."""
    try:
        return urlsplit(url).hostname in _LOOPBACK
    except ValueError:
        return False
