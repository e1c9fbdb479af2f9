"""Tables: the CSV files of a study, and how they are written and read."""
