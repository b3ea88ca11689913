"""
Takes away from this process what running a model needs none of: files but those of Python and its packages, the network, other
programs, other processes, privileges, and memory beyond a limit. For good: nothing that runs in it later can take any of it back.

Two walls of the Linux kernel, neither of which needs privileges: Landlock (landlock(7)) for files, and a seccomp filter (seccomp(2))
that names the system calls that are allowed. Both hold for threads that are started afterwards, so this comes before numpy is
imported, which starts some.
"""

import ctypes
import errno
import os
import platform
import resource
import signal
import struct
import sys

# Standard input, output and error, the pipe of the server, the model.
DESCRIPTORS = 5
RESERVED_BYTES = 4 << 30

PR_SET_PDEATHSIG = 1
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38
SECCOMP_MODE_FILTER = 2
CAPABILITIES = 64
LINUX_CAPABILITY_VERSION_3 = 0x20080522

LANDLOCK_CREATE_RULESET = 444
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446
LANDLOCK_CREATE_RULESET_VERSION = 1
LANDLOCK_RULE_PATH_BENEATH = 1
READ_FILE = 1 << 2
READ_DIR = 1 << 3
# What each version of Landlock can forbid, see linux/landlock.h: files, TCP, signals and abstract sockets.
FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
NET_RIGHTS = {4: 0b11}
SCOPES = {6: 0b11}


class CannotConfine(Exception):
    """This machine has not what it takes."""


def confine(memory_bytes):
    """
    memory_bytes: what the process may hold, RLIMIT_DATA
    raises CannotConfine where a wall is missing: then nothing may be run that needs it
    """
    if sys.platform != "linux":
        raise CannotConfine(f"sandboxed models need Linux, this is {sys.platform}")
    libc = ctypes.CDLL(None, use_errno=True)
    _prctl(libc, PR_SET_PDEATHSIG, signal.SIGKILL)
    _close_others()
    for limit, value in (
        (resource.RLIMIT_DATA, memory_bytes),
        # Reserved and not used, as threads do; it bounds the tables of pages, too.
        (resource.RLIMIT_AS, memory_bytes + RESERVED_BYTES),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
    ):
        _, most = resource.getrlimit(limit)
        value = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(limit, (value, value))
    _drop_capabilities(libc)
    _prctl(libc, PR_SET_NO_NEW_PRIVS, 1)
    _restrict_files(libc)
    _restrict_calls(libc)


def _close_others():
    """Whatever else the server had open when it started this process."""
    for handle in os.listdir("/proc/self/fd"):
        if int(handle) >= DESCRIPTORS:
            try:
                os.close(int(handle))
            except OSError:
                # That of the list itself, which is closed by now.
                pass


def _prctl(libc, option, value):
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise CannotConfine(f"prctl {option}: {os.strerror(ctypes.get_errno())}")


def _drop_capabilities(libc):
    """Of a process of root: it is then a user whose name is root."""
    if os.geteuid() == 0:
        for capability in range(CAPABILITIES):
            # Beyond the last one that the kernel knows: EINVAL. Without CAP_SETPCAP there is nothing to take away.
            libc.prctl(PR_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0)
    header = struct.pack("Ii", LINUX_CAPABILITY_VERSION_3, 0)
    if libc.capset(ctypes.c_char_p(header), ctypes.c_char_p(bytes(24))) != 0:
        raise CannotConfine(f"capset: {os.strerror(ctypes.get_errno())}")


def _of_version(rights, version):
    return max((value for since, value in rights.items() if since <= version), default=0)


def _restrict_files(libc):
    """Python, its packages and the libraries of the system can be read; nothing can be written, made, or run."""
    version = libc.syscall(LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), LANDLOCK_CREATE_RULESET_VERSION)
    if version < 1:
        raise CannotConfine(
            f"the kernel has no Landlock, which keeps a model from files ({os.strerror(ctypes.get_errno())}); "
            "it needs Linux 5.13 or newer with landlock among its security modules"
        )
    attributes = struct.pack("QQQ", _of_version(FILE_RIGHTS, version), _of_version(NET_RIGHTS, version), _of_version(SCOPES, version))
    # Older kernels refuse a longer structure only where what they do not know is not 0.
    ruleset = libc.syscall(LANDLOCK_CREATE_RULESET, ctypes.c_char_p(attributes), ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        raise CannotConfine(f"landlock_create_ruleset: {os.strerror(ctypes.get_errno())}")
    for path in readable_paths():
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rights = READ_FILE | READ_DIR if os.path.isdir(path) else READ_FILE
            rule = struct.pack("=Qi", rights, handle)
            if libc.syscall(LANDLOCK_ADD_RULE, ruleset, LANDLOCK_RULE_PATH_BENEATH, ctypes.c_char_p(rule), 0) != 0:
                raise CannotConfine(f"landlock_add_rule {path}: {os.strerror(ctypes.get_errno())}")
        finally:
            os.close(handle)
    if libc.syscall(LANDLOCK_RESTRICT_SELF, ruleset, 0) != 0:
        raise CannotConfine(f"landlock_restrict_self: {os.strerror(ctypes.get_errno())}")
    os.close(ruleset)


def readable_paths():
    """What Python, its packages and the dynamic linker read."""
    wanted = [path for path in sys.path if os.path.isabs(path)]
    wanted += [os.path.join(prefix, "lib") for prefix in (sys.prefix, sys.base_prefix)]
    wanted += ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/lib", "/lib64", "/etc/ld.so.cache", "/dev/urandom"]
    return sorted({path for path in wanted if os.path.exists(path)})


# Numbers of system calls by name: x86-64 (asm/unistd_64.h), and the generic ones that arm64 has (asm-generic/unistd.h).
# What is in no list fails with EPERM: sockets, programs, processes, signals to others, mounts, traces, and whatever comes next.
ALLOWED_X86_64 = {
    "read": 0, "write": 1, "close": 3, "stat": 4, "fstat": 5, "lstat": 6, "poll": 7, "lseek": 8, "mprotect": 10,
    "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15, "pread64": 17, "readv": 19, "writev": 20,
    "access": 21, "sched_yield": 24, "mremap": 25, "madvise": 28, "dup": 32, "dup2": 33, "nanosleep": 35, "getpid": 39, "exit": 60,
    "uname": 63, "getcwd": 79, "readlink": 89, "gettimeofday": 96, "getrlimit": 97, "getrusage": 98, "sysinfo": 99,
    "times": 100, "getuid": 102, "getgid": 104, "geteuid": 107, "getegid": 108, "getppid": 110, "sigaltstack": 131, "statfs": 137,
    "fstatfs": 138, "sched_getparam": 143, "sched_getscheduler": 145, "arch_prctl": 158, "gettid": 186, "time": 201, "futex": 202,
    "sched_getaffinity": 204, "getdents64": 217, "set_tid_address": 218, "restart_syscall": 219,
    "clock_gettime": 228, "clock_getres": 229, "clock_nanosleep": 230, "exit_group": 231, "get_mempolicy": 239,
    "newfstatat": 262, "readlinkat": 267, "faccessat": 269, "ppoll": 271, "set_robust_list": 273, "dup3": 292, "getcpu": 309,
    "getrandom": 318, "membarrier": 324, "statx": 332, "rseq": 334, "faccessat2": 439,
}
ALLOWED_GENERIC = {
    "getcwd": 17, "dup": 23, "dup3": 24, "statfs": 43, "fstatfs": 44, "faccessat": 48, "close": 57,
    "getdents64": 61, "lseek": 62, "read": 63, "write": 64, "readv": 65, "writev": 66, "pread64": 67, "ppoll": 73, "readlinkat": 78,
    "newfstatat": 79, "fstat": 80, "exit": 93, "exit_group": 94, "set_tid_address": 96, "futex": 98, "set_robust_list": 99,
    "nanosleep": 101, "clock_gettime": 113, "clock_getres": 114, "clock_nanosleep": 115, "sched_getscheduler": 120,
    "sched_getparam": 121, "sched_getaffinity": 123, "sched_yield": 124, "restart_syscall": 128,
    "sigaltstack": 132, "rt_sigaction": 134, "rt_sigprocmask": 135, "rt_sigreturn": 139, "times": 153, "uname": 160, "getrlimit": 163,
    "getrusage": 165, "getcpu": 168, "gettimeofday": 169, "getpid": 172, "getppid": 173, "getuid": 174, "geteuid": 175, "getgid": 176,
    "getegid": 177, "gettid": 178, "sysinfo": 179, "brk": 214, "munmap": 215, "mremap": 216, "mprotect": 226,
    "madvise": 233, "get_mempolicy": 236, "getrandom": 278, "membarrier": 283, "statx": 291, "rseq": 293, "faccessat2": 439,
}
# Allowed with certain arguments only.
GUARDED_X86_64 = {
    "open": 2, "mmap": 9, "ioctl": 16, "clone": 56, "fcntl": 72, "sched_setaffinity": 203, "tgkill": 234, "openat": 257, "prlimit64": 302,
    "clone3": 435,
}
GUARDED_GENERIC = {
    "fcntl": 25, "ioctl": 29, "openat": 56, "sched_setaffinity": 122, "tgkill": 131, "clone": 220, "mmap": 222, "prlimit64": 261, "clone3": 435,
}
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}

CLONE_THREAD = 0x00010000
MAP_SHARED = 0x01
O_ASYNC = 0o20000
# Anything but reading. Landlock before its third version lets files be cut to nothing.
WRITES = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC
# Questions about a descriptor, and closing it on exec: TCGETS, FIOCLEX, FIONREAD.
IOCTLS = (0x5401, 0x5451, 0x541B)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC; not who is sent signals.
FCNTLS = (0, 1, 2, 3, 1030)
F_SETFL = 4

# linux/filter.h, linux/bpf_common.h
LOAD = 0x20
EQUAL = 0x15
GREATER_EQUAL = 0x35
ANY_BIT = 0x45
RETURN = 0x06
KILL = 0x80000000
ALLOW = 0x7FFF0000
FAIL = 0x00050000
# Of struct seccomp_data: the lower halves, both machines are little-endian.
NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16


def _restrict_calls(libc):
    machine = platform.machine()
    if machine not in AUDIT_ARCH:
        raise CannotConfine(f"sandboxed models run on x86_64 and aarch64; this machine is {machine}")
    program = b"".join(struct.pack("HBBI", *instruction) for instruction in _filter(machine))
    buffer = ctypes.create_string_buffer(program, len(program))
    head = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    if libc.prctl(PR_SET_SECCOMP, ctypes.c_ulong(SECCOMP_MODE_FILTER), ctypes.c_char_p(head), 0, 0) != 0:
        raise CannotConfine(f"the kernel takes no seccomp filter: {os.strerror(ctypes.get_errno())}")


def _filter(machine):
    """The instructions of the filter: code, jump if true, jump if false, value."""
    allowed, guarded = (ALLOWED_X86_64, GUARDED_X86_64) if machine == "x86_64" else (ALLOWED_GENERIC, GUARDED_GENERIC)
    denied = FAIL | errno.EPERM
    yield LOAD, 0, 0, ARCHITECTURE
    yield EQUAL, 1, 0, AUDIT_ARCH[machine]
    yield RETURN, 0, 0, KILL
    yield LOAD, 0, 0, NUMBER
    if machine == "x86_64":
        # The same calls again, with pointers of 32 bits.
        yield GREATER_EQUAL, 0, 1, 0x40000000
        yield RETURN, 0, 0, denied
    for number in sorted(allowed.values()):
        yield EQUAL, 0, 1, number
        yield RETURN, 0, 0, ALLOW
    # Its flags lie in memory, where a filter cannot look: the C library then takes clone.
    yield EQUAL, 0, 1, guarded["clone3"]
    yield RETURN, 0, 0, FAIL | errno.ENOSYS
    # Threads, no processes.
    yield from _only(guarded["clone"], _if_set(0, CLONE_THREAD))
    # Signals to itself: abort. Limits and cores of its own.
    yield from _only(guarded["tgkill"], _if_equal(0, os.getpid()))
    yield from _only(guarded["prlimit64"], _if_equal(0, 0))
    yield from _only(guarded["sched_setaffinity"], _if_equal(0, 0))
    # What is shared counts as nobody's memory.
    yield from _only(guarded["mmap"], _unless_set(3, MAP_SHARED))
    if "open" in guarded:
        yield from _only(guarded["open"], _unless_set(1, WRITES))
    yield from _only(guarded["openat"], _unless_set(2, WRITES))
    yield from _only(guarded["ioctl"], [part for request in IOCTLS for part in _if_equal(1, request)])
    flags = [*_loaded(1), (EQUAL, 0, 3, F_SETFL), *_unless_set(2, O_ASYNC)]
    yield from _only(guarded["fcntl"], [*(part for command in FCNTLS for part in _if_equal(1, command)), *flags])
    yield RETURN, 0, 0, denied


def _only(number, allowing):
    """A call with the instructions that allow it; what they let through to their end is denied. Other calls pass them by."""
    body = [*allowing, (RETURN, 0, 0, FAIL | errno.EPERM)]
    return [(EQUAL, 0, len(body), number), *body]


def _loaded(argument):
    return [(LOAD, 0, 0, ARGUMENTS + 8 * argument)]


def _if_equal(argument, value):
    return [*_loaded(argument), (EQUAL, 0, 1, value), (RETURN, 0, 0, ALLOW)]


def _if_set(argument, bits):
    return [*_loaded(argument), (ANY_BIT, 0, 1, bits), (RETURN, 0, 0, ALLOW)]


def _unless_set(argument, bits):
    return [*_loaded(argument), (ANY_BIT, 1, 0, bits), (RETURN, 0, 0, ALLOW)]
