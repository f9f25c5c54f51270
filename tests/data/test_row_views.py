import numpy as np
import pytest

from data.curation.row_views import RowView

MATRIX = np.arange(60, dtype=np.float16).reshape(20, 3)
ROWS = np.array([7, 2, 2, 19])


@pytest.mark.parametrize("part", [slice(None), slice(1, 3), slice(2, 99), slice(9, 12), np.array([3, 0])])
def test_a_part_of_the_view_is_that_part_of_the_rows(part):
    assert np.array_equal(RowView(MATRIX, ROWS)[part], MATRIX[ROWS][part])


def test_a_view_has_a_shape_and_a_type_and_can_be_viewed_again():
    view = RowView(MATRIX, ROWS)
    assert (view.shape, len(view), view.dtype) == ((4, 3), 4, np.float16)
    assert RowView(view, np.array([3]))[:].tolist() == [[57, 58, 59]]
