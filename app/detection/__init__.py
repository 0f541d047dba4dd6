"""What training and serving share: decoding, preprocessing, networks, weights and verdicts.

Pure functions and data. Nothing here knows of the web application or of the training package,
so a scan is read, scaled and judged in one way only.
"""
