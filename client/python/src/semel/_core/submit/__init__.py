"""Submitting many runs: `book` has what became of each, `course` keeps the streams going."""

from semel._core.submit.book import Submitted as Submitted
from semel._core.submit.course import submit as submit
