"""The serving runtime: it loads the published weights once and judges scans."""
