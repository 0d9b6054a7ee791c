"""Tables of the Linux audit system: record types, what ECS calls them, and syscalls by number.

Sources: linux/audit.h, the kernel's syscall tables, Elastic's auditd categorisation. Syscalls that audit rules never
watch are left out; the record keeps its number either way.
"""

#: Records that the kernel log shows by number (`audit: type=1400 audit(...)`).
RECORD_NUMBERS = {
    "1100": "USER_AUTH", "1101": "USER_ACCT", "1103": "CRED_ACQ", "1104": "CRED_DISP", "1105": "USER_START",
    "1106": "USER_END", "1107": "USER_AVC", "1108": "USER_CHAUTHTOK", "1109": "USER_ERR", "1110": "CRED_REFR",
    "1111": "USYS_CONFIG", "1112": "USER_LOGIN", "1113": "USER_LOGOUT", "1114": "ADD_USER", "1115": "DEL_USER",
    "1116": "ADD_GROUP", "1117": "DEL_GROUP", "1123": "USER_CMD", "1124": "USER_TTY", "1127": "SYSTEM_BOOT",
    "1128": "SYSTEM_SHUTDOWN", "1130": "SERVICE_START", "1131": "SERVICE_STOP", "1300": "SYSCALL", "1302": "PATH",
    "1303": "IPC", "1304": "SOCKETCALL", "1305": "CONFIG_CHANGE", "1306": "SOCKADDR", "1307": "CWD",
    "1309": "EXECVE", "1319": "TTY", "1320": "EOE", "1321": "BPRM_FCAPS", "1322": "CAPSET", "1323": "MMAP",
    "1325": "NETFILTER_CFG", "1326": "SECCOMP", "1327": "PROCTITLE", "1330": "KERN_MODULE", "1334": "BPF",
    "1400": "AVC", "1701": "ANOM_ABEND", "1700": "ANOM_PROMISCUOUS",
}  # fmt: skip

#: Record type -> ECS event.category, event.type and event.action (None: the syscall's or operation's name).
CATEGORIES: dict[str, tuple[tuple[str, ...], tuple[str, ...], str | None]] = {
    "EXECVE": (("process",), ("start",), "executed"),
    "PROCTITLE": (("process",), ("info",), None),
    "CWD": (("process",), ("info",), None),
    "PATH": (("file",), ("info",), None),
    "SOCKADDR": (("network",), ("info",), None),
    "USER_LOGIN": (("authentication",), ("start",), "logged-in"),
    "USER_LOGOUT": (("authentication",), ("end",), "logged-out"),
    "USER_AUTH": (("authentication",), ("start",), "authenticated"),
    "USER_ACCT": (("authentication",), ("info",), "was-authorized"),
    "USER_ERR": (("authentication",), ("info",), "error"),
    "USER_START": (("session",), ("start",), "started-session"),
    "USER_END": (("session",), ("end",), "ended-session"),
    "CRED_ACQ": (("authentication",), ("info",), "acquired-credentials"),
    "CRED_REFR": (("authentication",), ("info",), "refreshed-credentials"),
    "CRED_DISP": (("authentication",), ("info",), "disposed-credentials"),
    "USER_CHAUTHTOK": (("iam",), ("user", "change"), "changed-password"),
    "USER_MGMT": (("iam",), ("user", "change"), "modified-user-account"),
    "USER_CMD": (("process",), ("start",), "ran-command"),
    "USER_TTY": (("process",), ("info",), "typed"),
    "TTY": (("process",), ("info",), "typed"),
    "ADD_USER": (("iam",), ("user", "creation"), "added-user-account"),
    "DEL_USER": (("iam",), ("user", "deletion"), "deleted-user-account"),
    "ADD_GROUP": (("iam",), ("group", "creation"), "added-group-account"),
    "DEL_GROUP": (("iam",), ("group", "deletion"), "deleted-group-account"),
    "GRP_MGMT": (("iam",), ("group", "change"), "modified-group-account"),
    "SERVICE_START": (("process",), ("start",), "started-service"),
    "SERVICE_STOP": (("process",), ("end",), "stopped-service"),
    "SYSTEM_BOOT": (("host",), ("start",), "booted-system"),
    "SYSTEM_SHUTDOWN": (("host",), ("end",), "shutdown-system"),
    "CONFIG_CHANGE": (("configuration",), ("change",), "changed-audit-configuration"),
    "DAEMON_START": (("process",), ("start",), "started-audit"),
    "DAEMON_END": (("process",), ("end",), "shutdown-audit"),
    "DAEMON_CONFIG": (("configuration",), ("change",), "changed-auditd-configuration"),
    "NETFILTER_CFG": (("configuration",), ("change",), "loaded-firewall-rule-to"),
    "KERN_MODULE": (("driver",), ("start",), "loaded-kernel-module"),
    "AVC": (("intrusion_detection",), ("denied",), "violated-mac-policy"),
    "SECCOMP": (("intrusion_detection",), ("denied",), "violated-seccomp-policy"),
    "ANOM_ABEND": (("process",), ("end",), "crashed-program"),
    "ANOM_PROMISCUOUS": (("network",), ("change",), "changed-promiscuous-mode-on-device"),
}

#: The `arch` of a SYSCALL record: ELF machine and word size.
ARCHITECTURES = {"c000003e": "x86_64", "c00000b7": "aarch64", "x86_64": "x86_64", "aarch64": "aarch64"}


def _table(text: str) -> dict[str, str]:
    words = text.split()
    return dict(zip(words[::2], words[1::2], strict=True))


SYSCALLS = {
    "x86_64": _table(
        """0 read 1 write 2 open 3 close 9 mmap 10 mprotect 32 dup 33 dup2 41 socket 42 connect 43 accept 44 sendto
        49 bind 50 listen 56 clone 57 fork 58 vfork 59 execve 62 kill 63 uname 76 truncate 77 ftruncate 80 chdir
        82 rename 83 mkdir 84 rmdir 85 creat 86 link 87 unlink 88 symlink 90 chmod 91 fchmod 92 chown 93 fchown
        94 lchown 99 sysinfo 101 ptrace 103 syslog 105 setuid 106 setgid 113 setreuid 114 setregid 117 setresuid
        119 setresgid 122 setfsuid 123 setfsgid 126 capset 132 utime 133 mknod 135 personality 155 pivot_root
        157 prctl 159 adjtimex 161 chroot 163 acct 164 settimeofday 165 mount 166 umount2 167 swapon 168 swapoff
        169 reboot 170 sethostname 171 setdomainname 175 init_module 176 delete_module 188 setxattr 189 lsetxattr
        190 fsetxattr 197 removexattr 198 lremovexattr 199 fremovexattr 200 tkill 227 clock_settime 234 tgkill
        235 utimes 246 kexec_load 257 openat 258 mkdirat 259 mknodat 260 fchownat 261 futimesat 263 unlinkat
        264 renameat 265 linkat 266 symlinkat 268 fchmodat 269 faccessat 272 unshare 280 utimensat 288 accept4
        292 dup3 304 open_by_handle_at 308 setns 310 process_vm_readv 311 process_vm_writev 313 finit_module
        316 renameat2 319 memfd_create 320 kexec_file_load 321 bpf 322 execveat 323 userfaultfd 425 io_uring_setup
        435 clone3 437 openat2 439 faccessat2 452 fchmodat2"""
    ),
    "aarch64": _table(
        """5 setxattr 6 lsetxattr 7 fsetxattr 14 removexattr 15 lremovexattr 16 fremovexattr 23 dup 24 dup3 33 mknodat
        34 mkdirat 35 unlinkat 36 symlinkat 37 linkat 38 renameat 39 umount2 40 mount 41 pivot_root 45 truncate
        46 ftruncate 48 faccessat 49 chdir 51 chroot 52 fchmod 53 fchmodat 54 fchownat 55 fchown 56 openat 57 close
        63 read 64 write 88 utimensat 89 acct 91 capset 92 personality 97 unshare 104 kexec_load 105 init_module
        106 delete_module 112 clock_settime 116 syslog 117 ptrace 129 kill 130 tkill 131 tgkill 142 reboot 143 setregid
        144 setgid 145 setreuid 146 setuid 147 setresuid 149 setresgid 151 setfsuid 152 setfsgid 160 uname
        161 sethostname 162 setdomainname 167 prctl 170 settimeofday 171 adjtimex 179 sysinfo 198 socket 200 bind
        201 listen 202 accept 203 connect 206 sendto 220 clone 221 execve 222 mmap 224 swapon 225 swapoff 226 mprotect
        242 accept4 265 open_by_handle_at 268 setns 270 process_vm_readv 271 process_vm_writev 273 finit_module
        276 renameat2 279 memfd_create 280 bpf 281 execveat 282 userfaultfd 294 kexec_file_load 425 io_uring_setup
        435 clone3 437 openat2 439 faccessat2 452 fchmodat2"""
    ),
}
