# SPDX-License-Identifier: Apache-2.0
"""One signed file that lets a stranger get your paper's numbers."""

from __future__ import annotations

from repropack.metric_log import log_metric

__all__ = ["__version__", "log_metric"]

__version__ = "0.1.0"
