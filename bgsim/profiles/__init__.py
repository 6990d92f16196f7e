"""Profiles: what real programs do, as page-reference traces and counts."""
