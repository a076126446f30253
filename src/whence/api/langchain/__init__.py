"""LangChain: a callback handler that explains the answers of a chain that exists."""

from whence.api.langchain.handler import ExplanationHandler
from whence.api.langchain.records import Counts, Record
from whence.api.langchain.report import RetrievalReport

__all__ = ["Counts", "ExplanationHandler", "Record", "RetrievalReport"]
