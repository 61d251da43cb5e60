# SPDX-License-Identifier: Apache-2.0
"""What an author reveals of a release after the fact: which commits, who she is.

A release has commitments, which say nothing; a reveal is a statement beside it that opens them. The
two kinds look the same: a reader checks the bundle first, then that the statement is about this
bundle, then that it opens the commitment.
"""
