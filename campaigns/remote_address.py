"""Whose request this is, for rate limits and logs."""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from flask import request

from campaigns.config import current_settings


def client_address() -> str:
    """Return the client's IP address as ProxyFix left it, or an empty string outside TCP."""
    return request.remote_addr or ""


def is_from_this_machine() -> bool:
    """Tell whether the client runs on this machine.

    A proxy in front does too. One that PROXY_HOPS does not count speaks for clients whose address is not known, and
    says that it does.
    """
    is_passed_on = any(name in request.headers for name in ("X-Forwarded-For", "Forwarded", "X-Real-IP", "Via"))
    if is_passed_on and not current_settings().proxy_hops:
        return False
    try:
        address = ip_address(client_address())
    except ValueError:
        return False
    # A server that listens on IPv6 sees 127.0.0.1 as ::ffff:127.0.0.1 (RFC 4291 §2.5.5.2).
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def client_network() -> str:
    """Return the /24 (IPv4) or /64 (IPv6) network of the client, the unit that rates are limited by."""
    try:
        address = ip_address(client_address())
    except ValueError:
        return "unknown"
    return str(ip_network(f"{address}/{24 if address.version == 4 else 64}", strict=False))
