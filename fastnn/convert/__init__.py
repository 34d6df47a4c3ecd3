"""Networks from and to other frameworks, each only where that is installed."""
