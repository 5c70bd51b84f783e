"""The restrictions of a probe process, set before it reads the first byte that a client wrote.

FFmpeg's parsers are large and written in C. A file that takes one over should find a process that can neither open
files nor sockets, start programs, signal others, nor use more than its share of memory and time.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import resource
import signal
import struct
import sys
import time

OPEN_FILES = 16

_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_SECCOMP, _SET_NO_NEW_PRIVILEGES = 1, 4, 22, 38
_SECCOMP_FILTER = 2

_COMMON = {"io_uring_setup": 425, "pidfd_send_signal": 424, "pidfd_open": 434, "clone3": 435, "openat2": 437,
           "pidfd_getfd": 438}  # fmt: skip
_X86_64 = {
    "open": 2, "socket": 41, "connect": 42, "accept": 43, "bind": 49, "listen": 50, "socketpair": 53, "clone": 56,
    "fork": 57, "vfork": 58, "execve": 59, "kill": 62, "truncate": 76, "rename": 82, "mkdir": 83, "rmdir": 84,
    "creat": 85, "link": 86, "unlink": 87, "symlink": 88, "chmod": 90, "chown": 92, "ptrace": 101, "mknod": 133,
    "mount": 165, "tkill": 200, "tgkill": 234, "add_key": 248, "request_key": 249, "keyctl": 250, "openat": 257,
    "mkdirat": 258, "mknodat": 259, "fchownat": 260, "unlinkat": 263, "renameat": 264, "linkat": 265,
    "symlinkat": 266, "fchmodat": 268, "unshare": 272, "accept4": 288, "perf_event_open": 298,
    "open_by_handle_at": 304, "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "renameat2": 316,
    "bpf": 321, "execveat": 322, "userfaultfd": 323,
}  # fmt: skip
_AARCH64 = {
    "mknodat": 33, "mkdirat": 34, "unlinkat": 35, "symlinkat": 36, "linkat": 37, "renameat": 38, "mount": 40,
    "truncate": 45, "fchmodat": 53, "fchownat": 54, "openat": 56, "unshare": 97, "ptrace": 117, "kill": 129,
    "tkill": 130, "tgkill": 131, "socket": 198, "socketpair": 199, "bind": 200, "listen": 201, "accept": 202,
    "connect": 203, "add_key": 217, "request_key": 218, "keyctl": 219, "clone": 220, "execve": 221,
    "perf_event_open": 241, "accept4": 242, "open_by_handle_at": 265, "setns": 268, "process_vm_readv": 270,
    "process_vm_writev": 271, "renameat2": 276, "bpf": 280, "execveat": 281, "userfaultfd": 282,
}  # fmt: skip
_MACHINES = {"x86_64": (0xC000003E, _X86_64), "aarch64": (0xC00000B7, _AARCH64)}
"""AUDIT_ARCH_* (linux/audit.h) and the system calls that are refused, by `platform.machine()`."""
_X32_CALLS = 0x40000000

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOW, _REFUSE, _KILL = 0x7FFF0000, 0x00050001, 0x80000000
"""Seccomp's verdicts: let pass, fail with EPERM, end the process."""


def confine(memory_bytes: int) -> list[str]:
    """Restrict this process to what a probe needs, for good; return the names of the restrictions that took effect.

    `memory_bytes` bounds the address space. Everything the process will ever import must be imported by now.
    """
    restrictions = []
    for name, limit in (
        ("core", resource.RLIMIT_CORE),
        ("file_size", resource.RLIMIT_FSIZE),
        ("processes", resource.RLIMIT_NPROC),
    ):
        if _limited(limit, 0):
            restrictions.append(name)
    if _limited(resource.RLIMIT_NOFILE, OPEN_FILES):
        restrictions.append("open_files")
    if _limited(resource.RLIMIT_AS, memory_bytes):
        restrictions.append("memory")
    if sys.platform == "linux" and _refuse_system_calls():
        restrictions.append("system_calls")
    return restrictions


def die_with_parent(parent: int) -> bool:
    """Have the kernel end this process when the thread that started it ends; return whether it will.

    `parent` is the process id that the parent says it has: it may be gone before the kernel knows.
    """
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        promised: bool = libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0) == 0
        libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)  # no debugger of the same user, no memory image with somebody's media
    else:
        promised = False
    if os.getppid() != parent:
        raise SystemExit
    return promised


def renew_cpu_seconds(seconds: float) -> None:
    """Let the kernel end this process after `seconds` more of CPU time (rounded up to a whole one)."""
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + seconds) + 1, resource.RLIM_INFINITY))


def _limited(limit: int, value: int) -> bool:
    try:
        resource.setrlimit(limit, (value, value))
    except (ValueError, OSError):
        return False
    return True


def _refuse_system_calls() -> bool:
    """Install a seccomp filter that fails every call of the list with EPERM; False where there is none to install."""
    machine = platform.machine()
    if machine not in _MACHINES:
        return False
    architecture, own = _MACHINES[machine]
    refused = sorted({**_COMMON, **own}.values())
    calls = [(_EQUAL, number) for number in refused]
    if machine == "x86_64":
        calls.insert(0, (_AT_LEAST, _X32_CALLS))
    program = [
        _instruction(_LOAD, 4),
        _instruction(_EQUAL, architecture, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, 0),
        *(_instruction(code, number, len(calls) - index, 0) for index, (code, number) in enumerate(calls)),
        _instruction(_RETURN, _ALLOW),
        _instruction(_RETURN, _REFUSE),
    ]
    code = ctypes.create_string_buffer(b"".join(program))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(program), ctypes.addressof(code)))
    libc = ctypes.CDLL(None)
    if libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        return False
    result: int = libc.prctl(_SET_SECCOMP, _SECCOMP_FILTER, ctypes.c_void_p(ctypes.addressof(header)), 0, 0)
    return result == 0


def _instruction(code: int, operand: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    """Return one `struct sock_filter`; jumps count the instructions that are skipped."""
    return struct.pack("=HBBI", code, jump_true, jump_false, operand)
