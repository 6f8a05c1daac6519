"""From blocks to an answer: pure functions that open no process, no file and no clock."""
