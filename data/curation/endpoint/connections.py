"""How an endpoint's host is reached: trusted certificates, and the proxy that the environment names."""

import os
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import certifi
import urllib3

from data.errors import AerieError


def connections(url: str, count: int) -> urllib3.PoolManager:
    """Up to `count` kept connections to a host, through HTTP(S)_PROXY unless NO_PROXY names the host.

    Certificates come from SSL_CERT_FILE, else from a package: a slim container has none of its own.
    """
    given: dict[str, Any] = {
        "maxsize": count,
        "retries": False,
        "ca_certs": os.environ.get("SSL_CERT_FILE") or certifi.where(),
    }
    address = urlsplit(url)
    proxy = getproxies_environment().get(address.scheme)
    if not proxy or proxy_bypass(address.hostname or ""):
        return urllib3.PoolManager(**given)
    through = urlsplit(proxy if "//" in proxy else f"http://{proxy}")
    if through.scheme not in {"http", "https"} or not through.hostname:
        raise AerieError(f"{address.scheme.upper()}_PROXY must look like http://HOST:PORT; correct it, or set NO_PROXY")
    headers = None
    if through.username:
        login = f"{unquote(through.username)}:{unquote(through.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=login)
    where = f"{through.scheme}://{through.netloc.rpartition('@')[2]}"
    return urllib3.ProxyManager(where, proxy_headers=headers, **given)
