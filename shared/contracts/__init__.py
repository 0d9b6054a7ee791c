"""The only home of wire shapes: msgspec structs and the four kinds of constant that name them.

Caller and callee import the same constant, so names and types cannot drift. Nothing here does I/O, and nothing
here imports a service or a driver. `catalog` lists every constant that was declared.
"""
