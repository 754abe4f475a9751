"""Feature caches of many small files."""

import os

import pytest
from harness import digest, make, small_shards


@pytest.fixture
def small_cache(monkeypatch):
    small_shards(monkeypatch)
    # It is for a loss of power; a killed process loses nothing without it.
    monkeypatch.setattr(os, "fsync", lambda handle: None)


@pytest.fixture
def clean(small_cache, tmp_path):
    """What an undisturbed build leaves."""
    make(tmp_path / "clean")
    return digest(tmp_path / "clean")
