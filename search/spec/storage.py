"""Where a search is kept: a folder that every node sees, or an object store such as S3.

With a store the search works in a local folder as always, which is a copy: whatever has consequences is in the store
first (`search.persistence.object_store_journal`), trials' checkpoints go there from their workers, what is handed over
follows at the end. A driver that begins, on whatever machine, makes its folder from the store
(`search.persistence.local_copy`).
"""

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from search.common.store_uri import mask
from search.common.timeouts import within
from spaces.problems import BadInput, nearest
from trainables.objects import OPTIONS, Prefix, brief, endpoint_of, filesystem

JOURNAL, NOTE, DESCRIPTION, BASE = "journal.jsonl", ".storage", "search.yaml", "base"
"""In a search's folder: what happened; that it is a copy, and of what; what the search is; the folder of the user's own
native file, as it was given."""
SCHEMES = ("s3", "gs")
CHECK_SECONDS = 8.0
_KEYS = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE")
_KEYS_ELSEWHERE = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_REFUSED = re.compile(r"ACCESS_DENIED|INVALID_ACCESS_KEY|SIGNATURE|TOKEN|CREDENTIAL|FORBIDDEN|HTTP status 40[13]", re.I)


@dataclass(frozen=True)
class Home:
    """Where one search is kept."""

    path: Path
    """The search's folder."""
    store: Prefix | None = None
    """The place of its lasting state, where that is not the folder itself."""


def parsed(text: str, where: str) -> Path | Prefix:
    """What `storage:` names. Raises BadInput for what can't be one; asks nobody."""
    if mask(text) != text:
        what = "carries credentials, which would end up in logs; take them out and set AWS_ACCESS_KEY_ID and "
        raise BadInput.of(where, f"{mask(text)} {what}AWS_SECRET_ACCESS_KEY")
    scheme, separator, rest = text.partition("://")
    if not separator:
        if not text.strip():
            raise BadInput.of(where, "is empty; give a folder or s3://BUCKET/PREFIX, or leave it out")
        return Path(text).expanduser()
    if scheme not in SCHEMES:
        forms = "s3://BUCKET/PREFIX, or a folder that every node sees, as in /nfs/searches"
        raise BadInput.of(where, f"{scheme}:// can't be used; give {forms}")
    parts_ = urlsplit(text)
    if not parts_.netloc or parts_.netloc != rest.partition("/")[0].partition("?")[0] or parts_.fragment:
        raise BadInput.of(where, f"{text!r} names no bucket; expected {scheme}://BUCKET/PREFIX")
    unknown = [key for key, _ in parse_qsl(parts_.query, keep_blank_values=True) if key not in OPTIONS]
    if unknown:
        raise BadInput.of(where, f"?{unknown[0]}= is not known{nearest(unknown[0], OPTIONS)}")
    return Prefix(text)


def override(text: str) -> str:
    """The setting as an override, for `search.spec.settings_file.overridden`."""
    return f"storage={json.dumps(text)}"


def located(text: str | None, results: Path, name: str, where: str = "storage") -> Home:
    """The place of the search `name`; `text`: the setting `storage`, `results`: the folder of searches here.

    Raises BadInput where both name a folder.
    """
    if text is None:
        return Home(results / name)
    match parsed(text, where):
        case Prefix() as store:
            return Home(results / name, store / name)
        case folder:
            if results not in (Path("results"), folder):
                raise BadInput.of(
                    "--results", f"{results}, but storage says {folder}: a search is kept in one; drop one"
                )
            return Home(folder / name)


def check(store: Prefix, environment: Mapping[str, str] = os.environ) -> None:
    """Raise BadInput where objects can't be written, listed and read there, within `CHECK_SECONDS`."""
    answer = within(CHECK_SECONDS, lambda: trouble(store))
    if answer is not None:
        raise BadInput.of(str(store), explained(store, answer, environment))


def trouble(store: Prefix) -> str | None:
    """Why objects can't be written, listed and read there, in the store's own words; None where they can."""
    scheme, query = store.uri.partition("://")[0], urlsplit(store.uri).query
    place, name, content = store.path, f"check-{secrets.token_hex(6)}", b"schedule-search"
    try:
        from pyarrow import fs

        files = filesystem(scheme, query, attempts=1)
        with files.open_output_stream(f"{place}/{name}", compression=None) as stream:
            stream.write(content)
        listed = [info.path for info in files.get_file_info(fs.FileSelector(place))]
        with files.open_input_file(f"{place}/{name}") as file:
            same = bytes(file.read()) == content
        files.delete_file(f"{place}/{name}")
    except (OSError, ValueError) as error:
        return brief(error)
    return None if same and f"{place}/{name}" in listed else "what was written there is not what is read"


def explained(store: Prefix, answer: str, environment: Mapping[str, str]) -> str:
    """What `trouble` said, in words for people, with what to do."""
    bucket = store.path.partition("/")[0]
    over = dict(parse_qsl(urlsplit(store.uri).query)).get("endpoint_override")
    server = over or endpoint_of(environment) or "Amazon S3"
    if "NO_SUCH_BUCKET" in answer:
        return f"there is no bucket {bucket} at {mask(server)}; create it, or mend the name ({answer})"
    if "REDIRECT" in answer:
        return f"the bucket {bucket} is in another region: set AWS_REGION, or add ?region=… ({answer})"
    if "NETWORK_CONNECTION" in answer or "no answer" in answer:
        hint = "" if over or endpoint_of(environment) else "; a server of your own is named by AWS_ENDPOINT_URL"
        return f"{mask(server)} can't be reached: {answer}{hint}"
    if store.uri.startswith("s3:") and not has_credentials(environment):
        what = "no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or run where a role "
        return f"{what}gives access ({answer})"
    if _REFUSED.search(answer):
        return f"access is refused; objects must be read, written, listed and deleted there ({answer})"
    if "RESOURCE_NOT_FOUND" in answer:
        return f"what answers at {mask(server)} is no such store ({answer})"
    return f"can't be used: {answer}"


def has_credentials(environment: Mapping[str, str]) -> bool:
    """Whether S3 credentials are named anywhere that Amazon's SDK looks, but for the role of a machine of Amazon's."""
    home = Path(environment.get("HOME") or "~").expanduser()
    files = (
        environment.get("AWS_SHARED_CREDENTIALS_FILE") or home / ".aws" / "credentials",
        environment.get("AWS_CONFIG_FILE") or home / ".aws" / "config",
    )
    named = any(environment.get(name) for name in (*_KEYS, *_KEYS_ELSEWHERE))
    return named or any(Path(file).is_file() for file in files)
