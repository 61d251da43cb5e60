# SPDX-License-Identifier: Apache-2.0
"""`repropack run`: what a command was, read, wrote and measured, without its help."""
