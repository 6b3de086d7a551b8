"""Stands in for the parts of OpenHands that build images: the same calls, without Docker."""
