"""Benchmarks of the plugin: speed against peers and quality of answers. Results are kept in ``results``."""
