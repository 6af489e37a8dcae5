"""Both sides of one request must be here at once: nodes side by side run side by side."""

import threading

MEETING = threading.Barrier(2)
