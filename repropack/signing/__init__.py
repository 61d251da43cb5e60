# SPDX-License-Identifier: Apache-2.0
"""Who signed which bytes: DSSE envelopes, Ed25519 keys, and the reader's trust policy.

This package signs and checks bytes. It knows nothing of bundles or manifests.
"""
