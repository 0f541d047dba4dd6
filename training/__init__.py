"""The offline detector laboratory: prepare data, make fakes, train, evaluate, publish.

Run ``python -m training --help``. Nothing here is needed to serve.
"""
