"""Which blocks are measured next: plans that request blocks and receive them.

A plan is a generator. It yields a round, which is one or more `BlockRequest`s that are measured
side by side, and receives the blocks that were measured for them, which its driver has already
added to the evidence. A plan starts no process and reads no clock but the budget's, so it can be
tested with made-up blocks and a made-up clock.

Every benchmark has a plan of its own. The screen measures all of them in a few short blocks, and
chooses what is confirmed. A suspect is then measured in fresh blocks until its test rejects, until
it is plain that it will not, or until it has had its share; its test holds whenever it stops. What
is obvious comes first, and improvements, which cannot change the answer, come last.
"""
