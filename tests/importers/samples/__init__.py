# SPDX-License-Identifier: Apache-2.0
"""Files as other programs write them: README.md says which."""

from pathlib import Path

__all__ = ["SAMPLES"]

SAMPLES = Path(__file__).parent
