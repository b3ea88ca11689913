"""Starts the FastAPI yardstick with uvicorn and its own arguments.

With --workers uvicorn makes the listening socket in a way that keeps asyncio from turning Nagle's algorithm off: every
answer then waits 40 ms for an acknowledgement, and the benchmark would measure that. Connections inherit the option here.
"""
import socket
import sys

import uvicorn

plain = uvicorn.Config.bind_socket


def bind_socket(config):
    listening = plain(config)
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


if __name__ == "__main__":
    uvicorn.Config.bind_socket = bind_socket
    sys.exit(uvicorn.main())
