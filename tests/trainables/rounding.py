"""How far two ways to the same number may be apart: from the arithmetic, on whatever processor."""

import torch


def of_sum(terms: int, dtype: torch.dtype = torch.float32) -> float:
    """The bound on the relative error of a sum of `terms` numbers of one sign, or of a dot product relative to the sum
    of the sizes, added up in any order: terms × u, with u half the distance of 1 to the next number.

    Source: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., section 4.2.
    """
    return terms * torch.finfo(dtype).eps / 2
