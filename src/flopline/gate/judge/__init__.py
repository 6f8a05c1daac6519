"""From blocks to an answer: pure functions that import no process, no file and no clock."""
