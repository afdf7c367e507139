# SPDX-License-Identifier: Apache-2.0
"""DOC: how tests/hosts/host ends when COMMAND's status is not what counts."""

STATUS_TIMEOUT = 124        # as timeout(1)
STATUS_SERVER = 125         # the server could not start, or died on the way
STATUS_INTERRUPTED = 130    # Ctrl-C, or Ctrl-A x


class HostError(Exception):
    """A sentence for the user, and the exit status."""

    def __init__(self, text, status=STATUS_SERVER):
        super().__init__(text)
        self.status = status
