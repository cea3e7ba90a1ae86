"""Which addresses a token or a person may be sent to, and how an address is shown."""

import re
from urllib.parse import urlsplit

_USERINFO = re.compile(r"(?<=://)[^/?#\s]*@|\A[^/?#\s]*@")
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})

REGION = re.compile(r"[a-z0-9-]{1,32}")
A_REGION = "a region such as eu-west-1"

_LONGEST_SHOWN = 2000  # characters; browsers take as many
_PLAIN = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", re.ASCII)  # RFC 3986 section 2, and nothing else


def is_fit_to_show(url: str) -> bool:
    """Whether a person may be sent to ``url``, which somebody else has named.

    Of the characters of a URL alone, so that no terminal obeys it; https or loopback; and without a user name, which
    reads like a host.
    """
    if len(url) > _LONGEST_SHOWN or not _PLAIN.fullmatch(url) or not is_https_or_loopback(url):
        return False
    return "@" not in urlsplit(url).netloc


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


def is_region(text: str) -> bool:
    """Whether ``text`` may become the part of a host name that says the region."""
    return REGION.fullmatch(text) is not None
