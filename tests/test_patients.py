"""The made-up patients of notebook 01."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from mia_helpers.course.patients import CENTRES, draw_patients, plot_regions, plot_threshold


def test_patients_follow_their_centres_and_the_seed():
    points, ill = draw_patients(4000, seed=3)
    assert points.shape == (4000, 2) and set(ill) == {0, 1}
    for label in (0, 1):
        np.testing.assert_allclose(points[ill == label].mean(0), CENTRES[label], atol=0.1)
        np.testing.assert_allclose(points[ill == label].std(0), 1, atol=0.1)
    np.testing.assert_array_equal(points, draw_patients(4000, seed=3)[0])
    assert not np.array_equal(points, draw_patients(4000, seed=4)[0])


def test_regions_show_every_patient_and_the_person():
    points, ill = draw_patients(30, seed=0)
    ax = plot_regions(LogisticRegression().fit(points, ill), points, ill, person=(1.0, 2.0))
    drawn = sum(len(c.get_offsets()) for c in ax.collections if hasattr(c, "get_sizes") and len(c.get_sizes()))
    assert drawn == 30
    assert ax.lines[-1].get_xydata().tolist() == [[1.0, 2.0]]
    plt.close("all")


def test_the_point_lies_on_the_roc_curve_where_the_threshold_puts_it():
    members, non_members = np.array([0.2, 0.6, 0.8, 0.9]), np.array([0.1, 0.3, 0.6, 0.7])
    plot_threshold(members, non_members, 0.6)
    right = plt.gcf().axes[1]
    ((fpr, tpr),) = right.lines[-1].get_xydata()
    assert (fpr, tpr) == pytest.approx((0.5, 0.75))
    assert [fpr, tpr] in right.lines[0].get_xydata().tolist()
    plt.close("all")
