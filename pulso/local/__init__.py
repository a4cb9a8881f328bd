"""What a one-command run brings along: a private broker and a private database on this machine.

Nothing here is needed where a broker and a database are given.
"""
