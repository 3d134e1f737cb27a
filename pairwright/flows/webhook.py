"""One POST when a build under Prefect has failed or succeeded, so that nobody has to look at a list of runs in the morning.

Where it goes is said by two environment variables, not by the recipe or the flow's parameters: an address often holds a secret,
and parameters are kept and shown by Prefect.
"""

from __future__ import annotations

import json
import os
import socket
import urllib.request
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import urlsplit

from pairwright.errors import PairwrightError

VARIABLES = {"failed": "PAIRWRIGHT_WEBHOOK", "succeeded": "PAIRWRIGHT_WEBHOOK_SUCCESS"}
TIMEOUT_S = 5.0


def tell(event: Literal["failed", "succeeded"], dataset: str, run: str, sentence: str, log: Any, **about: Any) -> None:
    """POST what happened as JSON to the address for `event`, if there is one. Never raises: a message that cannot be delivered
    is a warning in the log.

    The JSON has the keys event, dataset, run (the flow run's name), sentence, time (ISO 8601, UTC), host, text (all of it in one
    line, which is what chat services show) and those of `about`.
    """
    url = os.environ.get(VARIABLES[event])
    if not url:
        return
    host = socket.gethostname()
    body = {
        "event": event,
        "dataset": dataset,
        "run": run,
        "sentence": sentence,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": host,
        "text": f"The build of {dataset} on {host} has {event}: {sentence}",
    }
    try:
        request = urllib.request.Request(check_url(url), json.dumps(body | about).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            pass
    except Exception as error:
        log.warning("the webhook at %s could not be told: %s", urlsplit(url).hostname, type(error).__name__)


def sentence_of(error: Exception) -> str:
    """What may leave the machine about `error`: our own sentences; of anything else its kind, for its text may quote data."""
    if isinstance(error, PairwrightError):
        return str(error)
    return f"an unexpected {type(error).__name__}: the run's log says more"


def check_url(url: str) -> str:
    """`url` if it can be posted to. Raises PairwrightError, which does not repeat the address."""
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise PairwrightError("a webhook's address begins with http:// or https:// and has a host: correct it")
    return url
