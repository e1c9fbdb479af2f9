"""From records to table rows, part by part: a part is one encoder on one data set and shot count.

Parts are read on their own, so that a study of 40,000 runs never is in memory at once, and what was
made of a part is kept in a cache until one of its files changes.
"""
