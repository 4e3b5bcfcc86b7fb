"""Noise on the line costs time, not the upload."""

from __future__ import annotations

import pytest

from tests.flash.smp_noise import count, to_a_model, to_the_runtime


@pytest.mark.parametrize(("noise", "needed"), [(1e-4, 100), (1e-3, 95)])
def test_a_hundred_uploads_to_a_model(noise: float, needed: int) -> None:
    found = count(to_a_model, noise, range(100))
    assert len(found.seconds) >= needed, found
    assert found.retries > 0


@pytest.mark.parametrize("noise", [1e-4, 1e-3])
def test_uploads_to_the_runtime(noise: float) -> None:
    found = count(to_the_runtime, noise, range(5))
    assert not found.errors and found.retries > 0
    assert max(found.seconds) < 20, found  # of the board's clock; a line without noise takes 1.5
