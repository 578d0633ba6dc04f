"""Tokens: what names a claim outside of the process that made it, as a short string."""

import re
from hashlib import sha256
from typing import Final

from agentpool.errors import InvalidValueError, shown
from agentpool.rules.claims import Claim, ClaimId
from agentpool.rules.requirements import require_type

__all__ = ("claim_of", "is_token", "token_of")

_TOKEN: Final = re.compile(r"([0-9]{1,19})\.([0-9]{1,19})\.([0-9]{1,19})\.[0-9a-f]{16}")


def token_of(pool_id: str, claim: Claim | ClaimId) -> str:
    """Name a claim of a pool."""
    numbers = f"{claim.seq}.{claim.attempt}.{claim.undone}"
    # An id has no control character in it, so no two claims are the same text.
    whole = f"{pool_id}\0{claim.run_id}\0{numbers}"
    return f"{numbers}.{sha256(whole.encode()).hexdigest()[:16]}"


def is_token(text: str) -> bool:
    """Say whether a text looks like what `token_of` gives."""
    return _TOKEN.fullmatch(text) is not None


def claim_of(pool_id: str, run_id: str, token: str, name: str) -> ClaimId:
    """Find the claim that a token names.

    :param name: of the argument, for the error
    :raises InvalidValueError: it is no token, or one of another inbox
    """
    require_type(token, str, name)
    found = _TOKEN.fullmatch(token)
    if found is not None:
        claim = ClaimId(run_id, *map(int, found.groups()))
        if token_of(pool_id, claim) == found.group():
            return claim
    msg = f"{name}: {shown(token)} is no token of a delivery from the inbox of run {run_id!r}"
    raise InvalidValueError(msg, pool_id=pool_id)
