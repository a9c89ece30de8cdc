"""Carillon: announcement mail that adds up. A folder here is a feature, a file is plumbing; see CONTRIBUTING.md."""

import gc

# Loading some thousand modules makes much that stays and no garbage, and mails leave no cycles either; at Python's own
# settings a tenth of each start goes into looking for some, and 3 % of a sender's time.
gc.set_threshold(10_000, 20, 20)

__version__ = "0.1.0"
