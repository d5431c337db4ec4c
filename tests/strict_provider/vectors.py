"""Embeddings and ranks that depend on the texts alone, so that a test knows them whoever asks and in whatever dialect."""
import hashlib


def vector(text, size=8):
    """A unit vector of a text."""
    seed = hashlib.sha256(text.encode()).digest()
    raw = [(seed[i % 32] ^ (i * 37 & 255)) / 255 - 0.5 for i in range(size)]
    norm = sum(x * x for x in raw) ** 0.5 or 1
    return [x / norm for x in raw]


def ranks(query, documents):
    """(place, score) of documents, best first: by the share of the question's words that they hold."""
    words = set(query.lower().split())
    scores = [len(words & set(text.lower().split())) / len(words) for text in documents]
    return sorted(enumerate(scores), key=lambda ranked: (-ranked[1], ranked[0]))


def words(texts):
    """A deterministic stand-in for a token count."""
    return sum(len(text.split()) for text in texts)
