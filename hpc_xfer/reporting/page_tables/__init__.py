"""The tables of report.html: rows of the CSVs as text, with a number to sort by."""
