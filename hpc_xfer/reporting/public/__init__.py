"""The report for others: no host, user, path or job in it, and a search that makes sure."""
