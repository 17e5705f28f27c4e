"""Answer quality, measured on tests that maintainers folded; run as ``python -m benchmarks.quality.similar``."""
