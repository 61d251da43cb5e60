# SPDX-License-Identifier: Apache-2.0
"""Code as git trees: taken from a work tree, squashed into a bundle, read from a hostile one."""
