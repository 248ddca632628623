"""Fits correctors in front of a frozen model; imports of the service only its contract."""
