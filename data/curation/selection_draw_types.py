"""The form of every strategy."""

from collections.abc import Callable

import numpy as np

Draw = Callable[[np.ndarray, int], np.ndarray]  # (rows, how many) -> the rows drawn
