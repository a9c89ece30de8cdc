"""The large mailbox providers, so that numbers can be told apart by who receives without naming a million domains."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

OTHER: Final = "other"
DOMAINS: Final = {
    "gmail": ("gmail.com", "googlemail.com"),
    "naver": ("naver.com",),
    "kakao": ("kakao.com", "daum.net", "hanmail.net"),
    "outlook": (
        "outlook.com", "outlook.kr", "outlook.jp", "hotmail.com", "hotmail.co.kr", "hotmail.co.uk", "live.com",
        "live.co.kr", "msn.com",
    ),
    "yahoo": ("yahoo.com", "yahoo.co.kr", "yahoo.co.jp", "yahoo.co.uk", "ymail.com", "rocketmail.com", "aol.com"),
    "apple": ("icloud.com", "me.com", "mac.com"),
}  # fmt: skip
GROUPS: Final = (*DOMAINS, OTHER)
_GROUP_OF = {domain: group for group, domains in DOMAINS.items() for domain in domains}


def domain_group(address: str) -> str:
    """Return the group of an address's domain; "other" for all that no group names."""
    return _group_of(address.rpartition("@")[2])


@lru_cache(maxsize=4096)
def _group_of(domain: str) -> str:
    return _GROUP_OF.get(domain.lower(), OTHER)
