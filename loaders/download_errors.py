"""One sentence for every way in which the hub can fail."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import UserError

_KEPT = "What has arrived is kept: run it again to go on."


class DownloadError(UserError):
    """The hub did not give what was asked for."""


class UnreachableError(DownloadError):
    """There is no connection to the hub."""


@contextmanager
def explained(repository: str) -> Iterator[None]:
    """Turn what the hub's library raises into a DownloadError. The cause is cut off: it may hold signed addresses."""
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, OfflineModeIsEnabled, RepositoryNotFoundError

    try:
        yield
    except OfflineModeIsEnabled:
        raise UnreachableError(f"{repository} cannot be downloaded: HF_HUB_OFFLINE is set. Unset it, or copy the files here.") from None
    except GatedRepoError:
        raise DownloadError(
            f"{repository} is gated: accept the licence at https://huggingface.co/{repository}, then `hf auth login`, then run it again."
        ) from None
    except RepositoryNotFoundError:
        raise DownloadError(
            f"The hub has no {repository}, or it is private: check the name, or `hf auth login` as somebody who sees it."
        ) from None
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        raise DownloadError(_of_status(repository, status)) from None
    except _transport_errors():
        raise UnreachableError(
            f"The connection to the hub failed while {repository} was downloaded: check the network, the proxy and HF_ENDPOINT. {_KEPT}"
        ) from None
    except OSError as error:
        if error.errno is None:  # the hub's own consistency check
            raise DownloadError(f"A file of {repository} arrived with another size than announced. {_KEPT}") from None
        raise DownloadError(f"A file of {repository} cannot be written ({error.strerror}): check the disk. {_KEPT}") from None


def _of_status(repository: str, status: int) -> str:
    if status == 401:
        return f"The hub does not accept the login for {repository}: run `hf auth login` anew."
    if status == 403:
        return f"The hub refuses {repository} to this login: open https://huggingface.co/{repository} and ask for access."
    if status == 404:
        return f"A file of {repository} is no longer on the hub: the repository was changed. Update the registry entry."
    if status == 429:
        return f"The hub asks to wait: too many requests (429). Wait some minutes, or `hf auth login` for a higher limit. {_KEPT}"
    return f"The hub answered {repository} with an error of its own ({status}): try again later. {_KEPT}"


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the HTTP library under the hub's raises; which library that is depends on the hub's version."""
    found: list[type[Exception]] = []
    for name, error in (("httpx2", "HTTPError"), ("httpx", "HTTPError"), ("requests", "RequestException")):
        if name in sys.modules:
            found.append(getattr(importlib.import_module(name), error))
    return tuple(found)
