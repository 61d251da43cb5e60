# SPDX-License-Identifier: Apache-2.0
"""What goes wrong on the way to a server, in one line, and whether it may pass."""

from __future__ import annotations

import http.client
import ssl

from repropack.address import Address
from repropack.errors import CannotDecideError
from repropack.escaping import show

__all__ = ["HttpError", "broken"]


class HttpError(CannotDecideError):
    """A server, or the way to it, failed.

    Attributes:
        transient: Whether the same request may succeed a little later.
        wait: Seconds that the server asks to wait, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        advice: str = "",
        transient: bool = False,
        wait: float | None = None,
    ) -> None:
        super().__init__(message, advice=advice)
        self.transient = transient
        self.wait = wait


def broken(address: Address, error: Exception) -> HttpError:
    """What went wrong on a connection, in one line."""
    if isinstance(error, HttpError):
        return error
    if isinstance(error, ssl.SSLCertVerificationError):
        return HttpError(
            f"{address}: its certificate is not accepted: {error.verify_message}",
            advice="SSL_CERT_FILE names a file with further certificate authorities",
        )
    if isinstance(error, TimeoutError):
        return HttpError(f"{address}: the server does not answer in time", transient=True)
    if isinstance(error, OSError):
        said = error.strerror or str(error) or type(error).__name__
        return HttpError(f"{address}: the connection broke: {said}", transient=True)
    if isinstance(error, http.client.IncompleteRead):
        return HttpError(f"{address}: the answer ended too early", transient=True)
    said = str(error) or type(error).__name__
    return HttpError(f"{address}: the answer is not HTTP: {show(said, limit=200)}")
