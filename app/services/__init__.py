"""The rules of the product, between the pages and the stores. No Flask, no torch."""
