"""Files in an object store such as S3, through pyarrow: each is written whole or not at all, in one request.

What is asked of a store is asked until it answers: a trial that took an outage for "there is no checkpoint" would begin
anew, and a search that gave up would lose what it has.
"""

import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from spaces.problems import cause

T = TypeVar("T")
CONNECT_SECONDS = 3.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0  # seconds between two tries while a store is away
OPTIONS = ("region", "scheme", "endpoint_override")
"""What the query of an s3:// URI may say."""


def _silent(text: str) -> None: ...


@dataclass(frozen=True)
class Prefix:
    """A folder in a store: its objects' names begin with it. Methods wait while the store is away, and `say` so."""

    uri: str
    """`s3://bucket/some/prefix`, perhaps with `?endpoint_override=http://host:9000&region=…`."""
    say: Callable[[str], None] = field(default=_silent, compare=False, repr=False)
    tries: int | None = None
    """None: ask until the store answers. A number: raise OSError when that many tries have failed."""

    def __truediv__(self, name: str) -> "Prefix":
        base, question, query = self.uri.partition("?")
        return replace(self, uri=f"{base.rstrip('/')}/{name}{question}{query}")

    def beside(self, name: str) -> "Prefix":
        """The folder `name` in the same folder."""
        base, question, query = self.uri.partition("?")
        return replace(self, uri=f"{base.rstrip('/').rpartition('/')[0]}/{name}{question}{query}")

    def __str__(self) -> str:
        """Without the query: for people."""
        return self.uri.partition("?")[0]

    @property
    def name(self) -> str:
        """The last part."""
        return str(self).rstrip("/").rpartition("/")[2]

    @property
    def path(self) -> str:
        """The key, the bucket before it, as pyarrow takes it."""
        parts = urlsplit(self.uri)
        return f"{parts.netloc}{parts.path}".strip("/")

    @property
    def filesystem(self) -> Any:
        """The `FileSystem` of pyarrow for the store; credentials are taken from the environment of this process."""
        return filesystem(self.uri.partition("://")[0], urlsplit(self.uri).query)

    def put(self, name: str, data: bytes) -> None:
        """Write the object `name`, in place of an earlier one."""

        def write() -> None:
            with self.filesystem.open_output_stream(f"{self.path}/{name}", compression=None) as stream:
                stream.write(data)

        self._asked(write)

    def get(self, name: str) -> bytes | None:
        """The object's content; None where there is none of this name."""

        def read() -> bytes | None:
            with suppress(FileNotFoundError), self.filesystem.open_input_file(f"{self.path}/{name}") as file:
                return bytes(file.read())
            return None

        return self._asked(read)

    def sizes(self, recursive: bool = False) -> dict[str, int]:
        """Name -> bytes of the objects here; `recursive`: of those in folders below, too, as `folder/name`."""
        from pyarrow import fs

        start = f"{self.path}/"

        def listed() -> dict[str, int]:
            chosen = fs.FileSelector(self.path, allow_not_found=True, recursive=recursive)
            found = [info for info in self.filesystem.get_file_info(chosen) if info.type == fs.FileType.File]
            return {info.path.removeprefix(start): int(info.size) for info in found}

        return self._asked(listed)

    def modified(self, name: str) -> float | None:
        """When the object was written, in unix seconds of the store's clock; None where there is none."""
        from pyarrow import fs

        def asked() -> float | None:
            info = self.filesystem.get_file_info(f"{self.path}/{name}")
            return info.mtime.timestamp() if info.type == fs.FileType.File else None

        return self._asked(asked)

    def delete(self, name: str) -> None:
        """Delete the object `name`, if there is one."""
        self._asked(lambda: self._gone(self.filesystem.delete_file, name))

    def clear(self, name: str) -> None:
        """Delete the folder `name` with all in it, if there is one."""
        self._asked(lambda: self._gone(self.filesystem.delete_dir, name))

    def _gone(self, delete: Callable[[str], None], name: str) -> None:
        with suppress(FileNotFoundError):
            delete(f"{self.path}/{name}")

    def _asked(self, question: Callable[[], T]) -> T:
        return until_it_answers(question, str(self), self.say, self.tries)


def until_it_answers(
    question: Callable[[], T],
    where: str,
    say: Callable[[str], None],
    tries: int | None = None,
    rest: Callable[[float], None] = time.sleep,
) -> T:
    """What `question` returns, asked again while it raises OSError; `say` hears of the wait and of its end.

    Raises OSError when `tries` is a number and that many have failed.
    """
    asked, wait = 0, FIRST_WAIT
    while True:
        try:
            answer = question()
        except OSError as error:
            asked += 1
            if tries is not None and asked >= tries:
                raise
            if asked == 1:
                say(f"{where} can't be used now ({brief(error)}): waiting for it; nothing is lost")
            rest(wait)
            wait = min(2 * wait, LONGEST_WAIT)
        else:
            if asked:
                say(f"{where} answers again: going on")
            return answer


def brief(error: BaseException) -> str:
    """An error of a store in a line: without what differs from request to request."""
    text = cause(error).partition(" (Request ID")[0].partition("; Details:")[0]
    _, found, rest = text.partition(": AWS Error ")
    return rest if found else text


@lru_cache(maxsize=16)
def filesystem(scheme: str, query: str, attempts: int = 3) -> Any:
    """The file system of a store, one per process; `query`: of the URI. `attempts`: of each request, by itself.

    Raises ValueError for a scheme that pyarrow doesn't know.
    """
    from pyarrow import fs

    if scheme != "s3":
        return fs.FileSystem.from_uri(f"{scheme}://bucket/{'?' + query if query else ''}")[0]
    given = dict(parse_qsl(query))
    endpoint = given.get("endpoint_override") or endpoint_of(os.environ)
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    over, separator, host = endpoint.rpartition("://")
    return fs.S3FileSystem(
        # A server of one's own seldom has regions, but a request must name one; Amazon's SDK looks further by itself.
        region=given.get("region") or region or ("us-east-1" if endpoint else None),
        endpoint_override=host.rstrip("/") or None,
        scheme=given.get("scheme") or (over if separator else None),
        connect_timeout=CONNECT_SECONDS,
        background_writes=False,  # a write is over when `close` returns
        allow_delayed_open=True,  # one request for an object, not three
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=attempts),
    )


def endpoint_of(environment: Mapping[str, str]) -> str:
    """The S3 server that the environment names; empty: Amazon's own."""
    return environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL") or ""
