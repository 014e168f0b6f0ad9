"""Sentences of events, by what they happen to; `happening` puts them together."""
