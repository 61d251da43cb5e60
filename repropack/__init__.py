# SPDX-License-Identifier: Apache-2.0
"""One signed file that lets a stranger get your paper's numbers."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
