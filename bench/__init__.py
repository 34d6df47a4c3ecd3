"""Benchmarks of fastnn; see README.md in this folder."""
