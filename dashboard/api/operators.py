"""Who may change something, or see raw bytes: until there are accounts, somebody on this very machine.

A request counts as local if it comes from a loopback address to a loopback name, through no proxy, and, if a browser
sent it, from a page of this server: a page of another site cannot use the browser of whoever sits at the machine, and a
reverse proxy does not turn the whole network into this machine.
"""

from ipaddress import ip_address
from urllib.parse import urlsplit

from fastapi import Depends, HTTPException, Request

_PROXIED = ("forwarded", "via", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_REFUSED = (
    "only from the machine Pulso runs on, until there are accounts: open it by http://127.0.0.1, not through a proxy,"
    " or use the command (pulso things, pulso rejected)"
)


def local_reader(request: Request) -> None:
    """Refuse who is not on this machine. Raises HTTPException (403)."""
    if not is_local(request):
        raise HTTPException(403, _REFUSED)


def local_operator(request: Request) -> None:
    """Refuse who is not on this machine, or lets a page of another site speak. Raises HTTPException (403, 415)."""
    local_reader(request)
    needs_json(request)
    if not _same_origin(request):
        raise HTTPException(403, "a page of another site may not change anything here")


def needs_json(request: Request) -> None:
    """Refuse bodies of another type, which browsers send across sites without asking. Raises HTTPException (415)."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "the body has to be JSON: Content-Type: application/json")


LocalReader = Depends(local_reader)
LocalOperator = Depends(local_operator)
NeedsJson = Depends(needs_json)


def is_local(request: Request) -> bool:
    """Whether a request comes from this machine and was meant for it."""
    if request.client is None or not _is_loopback(request.client.host):
        return False
    if any(header in request.headers for header in _PROXIED):
        return False
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        return False
    return host == "localhost" or _is_loopback(host)


def _is_loopback(host: str) -> bool:
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _same_origin(request: Request) -> bool:
    """Whether no browser sent it, or one on behalf of a page of ours."""
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    return origin is None or origin == f"{request.url.scheme}://{request.headers.get('host', '')}"
