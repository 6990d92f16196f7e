"""A place where work queues: some servers, first come, first served.

Who comes is told at once when it will be done, since nothing overtakes; so a queue is only the times at
which its servers will be free.
"""

from __future__ import annotations

import heapq


class Station:
    """Servers with one queue.

    Parameters
    ----------
    servers
        How many.
    """

    def __init__(self, servers: int = 1) -> None:
        self._free = [0] * servers
        self.busy_cycles = 0

    def serve(self, now: int, cycles: int, not_before: int = 0) -> int:
        """Queue work that has come now.

        Parameters
        ----------
        cycles
            Time it keeps a server.
        not_before
            When what the server needs is there; until then it is kept, too.

        Returns
        -------
        int
            When it is done.
        """
        begin = max(now, self._free[0])
        end = max(begin, not_before) + cycles
        heapq.heapreplace(self._free, end)
        self.busy_cycles += end - begin
        return end
