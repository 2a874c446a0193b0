"""Where a cluster is and how a client shows that it may talk to it, from the command line and the environment."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from search.common.store_uri import mask
from spaces.problems import BadInput


def address_of(given: str | None, environment: Mapping[str, str]) -> str:
    """The dashboard's address: `--address`, else Ray's own RAY_API_SERVER_ADDRESS, else a RAY_ADDRESS that is one.

    Raises BadInput for none and for one of another kind.
    """
    fallback = environment.get("RAY_ADDRESS", "")
    text = given or environment.get("RAY_API_SERVER_ADDRESS") or (fallback if fallback.startswith("http") else "")
    if not text:
        raise BadInput.of("--address", "which cluster? Give its dashboard, as in --address http://HEAD:8265")
    text = (text if "://" in text else f"http://{text}").rstrip("/")
    try:
        parts = urlsplit(text)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number
        usable = False
    if not usable:
        what = "jobs go to the dashboard of the head, http://HEAD:8265; ray:// and HOST:6379 are for other things"
        raise BadInput.of(f"--address {mask(text)}", what)
    if parts.username is not None or parts.password is not None:
        raise BadInput.of(f"--address {mask(text)}", "carries credentials; a cluster's token goes into RAY_AUTH_TOKEN")
    return text


def token_of(environment: Mapping[str, str]) -> str | None:
    """The token to show, where RAY_AUTH_MODE=token asks for one: from RAY_AUTH_TOKEN, else the file that
    RAY_AUTH_TOKEN_PATH names, else ~/.ray/auth_token. Raises BadInput where there is none.
    """
    if environment.get("RAY_AUTH_MODE", "").lower() != "token":
        return None
    token = environment.get("RAY_AUTH_TOKEN", "").strip()
    place = Path(environment.get("RAY_AUTH_TOKEN_PATH") or Path.home() / ".ray" / "auth_token")
    if not token and place.is_file():
        token = place.read_text(encoding="utf-8").strip()
    if not token:
        raise BadInput.of("RAY_AUTH_MODE=token", f"there is no token: RAY_AUTH_TOKEN is not set, and no {place} exists")
    return token
