"""Builders of what the package ships that was learned from data."""
