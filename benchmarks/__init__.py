# SPDX-License-Identifier: Apache-2.0
"""Every figure in docs/performance.md comes from here: `python -m benchmarks`."""
