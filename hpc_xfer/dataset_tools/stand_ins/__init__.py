"""Tiny stand-ins for data that nobody needs to have: for rehearsals and for tests.

The packaged data sets in their owners' exact form, with its pitfalls, and shards of sources. Every
class has a few tiny images, one color per class, so that a study on stand-ins learns something.
"""
