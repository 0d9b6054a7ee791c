"""What can stop the local stack: one exception whose text is the one line the operator reads.

This file knows no process and no folder. Every cause ends as a StackError at the place that understands it, so that
the command line prints it as it is and leaves with exit code 1.
"""

from __future__ import annotations

import errno


class StackError(Exception):
    """The stack can't start or go on. `str(error)` is one clear line without a secret in it."""


def explain(error: OSError) -> StackError:
    """The line for a failed file operation: a full disk and a folder without permission are named as such."""
    place = error.filename or "the data folder"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StackError(f"the disk is full: no space left for {place}")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return StackError(f"{place} is not writable for this user")
    return StackError(f"{place}: {(error.strerror or 'unknown error').lower()}")
