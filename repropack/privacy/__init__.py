# SPDX-License-Identifier: Apache-2.0
"""What must not leave: the author's own terms, secrets, and where in files they hide."""
