# SPDX-License-Identifier: Apache-2.0
"""From what was installed to a lock file, and from a lock file to the same environment.

`installed` reads a search path, `lock` is the text in the bundle, `index` knows where the user's
packages come from, `wheel_digests` asks for digests there. `interpreter` finds the Python and
`rebuilding` fills an environment for it, by `uv`. `conda` reads what conda has installed,
`conda_channels` fetches its archives by digest, `conda_link` fills a directory with them.
"""

from __future__ import annotations
