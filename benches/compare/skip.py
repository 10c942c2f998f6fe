"""Raised by a case that this machine cannot run; the text says what is missing."""


class Skip(Exception):
    pass
