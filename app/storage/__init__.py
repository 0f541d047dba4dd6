"""Where things are kept: accounts in TinyDB, records in SQL, scans in files. No Flask, no torch."""
