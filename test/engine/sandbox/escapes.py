"""Confines itself as a worker does, and then tries what no model may do; prints what it could."""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import threading

sys.path.insert(0, sys.argv[1])
import confinement

sys.path.pop(0)
target = sys.argv[2]
parent = os.getppid()
libc = ctypes.CDLL(None, use_errno=True)
pipe = socket.socketpair()[0].detach()
# As an older kernel: Landlock of that version forbids less.
if len(sys.argv) > 3:
    known = confinement._of_version
    confinement._of_version = lambda rights, version: known(rights, min(version, int(sys.argv[3])))
confinement.DESCRIPTORS = pipe + 1
confinement.confine(1 << 30)


def call(number, *arguments):
    if libc.syscall(number, *arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def limit():
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (1 << 40, 1 << 40))
    except ValueError:
        raise PermissionError from None


def signals():
    """Has the kernel send SIGKILL to the server once something comes in."""
    fcntl.fcntl(pipe, fcntl.F_SETOWN, parent)
    fcntl.fcntl(pipe, 10, signal.SIGKILL)


def asynchronous():
    fcntl.fcntl(pipe, fcntl.F_SETFL, fcntl.fcntl(pipe, fcntl.F_GETFL) | os.O_ASYNC)


def address_space():
    held = []
    while len(held) < 64:
        held.append(mmap.mmap(-1, 1 << 30, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ))


attempts = {
    "reads a file": lambda: open("/etc/passwd").read(),
    "lists a folder": lambda: os.listdir("/root"),
    "reads the environment of the server": lambda: open(f"/proc/{parent}/environ").read(),
    "reads its own memory map": lambda: open("/proc/self/maps").read(),
    "cuts a file to nothing": lambda: os.open(f"{target}/keep", 3 | os.O_TRUNC),
    "makes a file": lambda: open(f"{target}/made", "w").close(),
    "changes a package": lambda: open(json.__file__, "a").close(),
    "removes a file": lambda: os.unlink(f"{target}/keep"),
    "renames a file": lambda: os.rename(f"{target}/keep", f"{target}/kept"),
    "makes a link": lambda: os.symlink("/etc/passwd", f"{target}/link"),
    "opens a TCP socket": lambda: socket.socket(),
    "opens a UDP socket": lambda: socket.socket(type=socket.SOCK_DGRAM),
    "opens a Unix socket": lambda: socket.socket(socket.AF_UNIX),
    "makes a pair of sockets": lambda: socket.socketpair(),
    "starts a program": lambda: subprocess.run(["/bin/true"]),
    "becomes a program": lambda: os.execv("/bin/true", ["true"]),
    "starts a process": lambda: os.fork(),
    "asks the server to end": lambda: os.kill(parent, 15),
    "traces the server": lambda: call(101, 16, parent, 0, 0),
    "pins the server to a core": lambda: os.sched_setaffinity(parent, {0}),
    "has the server be sent signals": signals,
    "has signals be sent": asynchronous,
    "holds memory that is shared": lambda: mmap.mmap(-1, 1 << 20),
    "reserves memory without an end": address_space,
    "reads the memory of the server": lambda: call(310, parent, 0, 0, 0, 0, 0),
    "makes a file in memory": lambda: os.memfd_create("x"),
    "has a namespace of its own": lambda: call(272, 0x10000000),
    "mounts": lambda: call(165, b"none", b"/tmp", b"tmpfs", 0, 0),
    "asks for queues of the kernel": lambda: call(425, 1, 0),
    "loads a program into the kernel": lambda: call(321, 0, 0, 0),
    "becomes somebody else": lambda: os.setuid(1),
    "raises its limits": limit,
    "holds more memory than it may": lambda: bytearray(2 << 30),
}
could = {}


def try_all(where):
    for name, attempt in attempts.items():
        try:
            attempt()
            could[f"{name} ({where})"] = True
        except (PermissionError, MemoryError):
            pass
        except OSError as error:
            # Memory that is not there, and nothing else: other errors would hide what the walls let through.
            could[f"{name} ({where})"] = str(error)
            if error.errno == errno.ENOMEM:
                del could[f"{name} ({where})"]


try_all("main thread")
thread = threading.Thread(target=try_all, args=("another thread",))
thread.start()
thread.join()
print(json.dumps({"tried": len(attempts), "could": sorted(could)}))
