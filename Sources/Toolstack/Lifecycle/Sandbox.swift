// SPDX-License-Identifier: Apache-2.0

import CSeccomp
import Devices
import Glibc

/// What the process may ask of the system once a guest runs: a filter (seccomp) around all of its threads, for good. By
/// then files, disks, networks, `/dev/kvm` and the machine's memory are open, and little else is needed. What else is
/// around it by then: `Isolation`.
///
/// What is not listed fails with EPERM. Calls that only somebody who has broken in would make end the process with a line.
public struct Sandbox: Sendable {
  /// User-mode networking opens IPv4 sockets for the guest, and reads the host's name servers.
  public var hasUserNetwork: Bool
  /// Descriptors of io_urings. What is asked of one passes no filter, so each must have been restricted, when it was made,
  /// to what this process may do anyway: see `BlockQueue.ring`.
  public var rings: [Int32]

  public init(hasUserNetwork: Bool, rings: [Int32] = []) {
    self.hasUserNetwork = hasUserNetwork
    self.rings = rings
  }

  /// Confines the process: every thread that is, and every one that will be.
  /// - Throws: if the system has no such filter.
  public func enter() throws(ToolstackError) {
    guard let filter = seccomp_init(Self.refusal(EPERM)) else { throw Self.failure(ENOMEM) }
    defer { seccomp_release(filter) }
    for rule in Self.rules + (hasUserNetwork ? Self.networkRules : []) + ringRules {
      try rule.add(to: filter)
    }
    let all = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1)
    guard all == 0 else { throw Self.failure(-all) }
    Self.reportIntrusions()
    // This sets PR_SET_NO_NEW_PRIVS too.
    let loaded = seccomp_load(filter)
    guard loaded == 0 else { throw Self.failure(-loaded) }
  }

  fileprivate static func failure(_ code: Int32) -> ToolstackError {
    ToolstackError(
      "the process cannot be confined by seccomp: \(String(cString: strerror(code))); --no-sandbox runs without"
    )
  }

  // Actions of libseccomp, whose macros Swift does not see.
  /// `SCMP_ACT_ALLOW`.
  fileprivate static let permission: UInt32 = 0x7fff_0000
  /// `SCMP_ACT_TRAP`: SIGSYS.
  fileprivate static let alarm: UInt32 = 0x0003_0000
  /// `SCMP_ACT_ERRNO`.
  fileprivate static func refusal(_ code: Int32) -> UInt32 { 0x0005_0000 | UInt32(code) }
  /// Of the flags of `clone`.
  private static let threadFlag: UInt32 = 0x0001_0000  // CLONE_THREAD

  /// A line on standard error, and the end.
  private static func reportIntrusions() {
    var action = sigaction()
    action.__sigaction_handler.sa_sigaction = { _, information, _ in
      RawTerminal.restore()
      Sandbox.say("lockstep: stopped: system call ")
      let call = information?.pointee._sifields._sigsys._syscall ?? 0
      var divisor: Int32 = 100
      while divisor > 0 {
        var digit = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: call / divisor % 10)
        _ = write(STDERR_FILENO, &digit, 1)
        divisor /= 10
      }
      Sandbox.say(" was tried, which no part of lockstep needs: somebody may have broken out of the guest\n")
      _exit(128 + SIGSYS)
    }
    action.sa_flags = Int32(SA_SIGINFO)
    sigaction(SIGSYS, &action, nil)
  }

  /// For a signal handler: allocates nothing.
  private static func say(_ text: StaticString) {
    _ = write(STDERR_FILENO, text.utf8Start, text.utf8CodeUnitCount)
  }
}

/// A system call, and the arguments for which it is allowed.
private struct Rule {
  var action = Sandbox.permission
  var call: String
  var arguments: [scmp_arg_cmp] = []

  func add(to filter: scmp_filter_ctx) throws(ToolstackError) {
    let number = seccomp_syscall_resolve_name(call)
    let result = seccomp_rule_add_array(filter, action, number, UInt32(arguments.count), arguments)
    guard result == 0 else { throw Sandbox.failure(-result) }
  }

  /// The argument is that number.
  static func equal(_ argument: UInt32, _ value: some BinaryInteger) -> scmp_arg_cmp {
    scmp_arg_cmp(
      arg: argument, op: SCMP_CMP_EQ, datum_a: UInt64(truncatingIfNeeded: value), datum_b: 0)
  }

  /// Of the bits in `mask`, the argument has those of `value`.
  static func bits(_ argument: UInt32, _ mask: some BinaryInteger, _ value: some BinaryInteger)
    -> scmp_arg_cmp
  {
    scmp_arg_cmp(
      arg: argument, op: SCMP_CMP_MASKED_EQ, datum_a: UInt64(truncatingIfNeeded: mask),
      datum_b: UInt64(truncatingIfNeeded: value))
  }
}

extension Sandbox {
  private static let rules: [Rule] = plain + restricted + intrusions

  /// Calls that are allowed whatever their arguments are: they reach only what is open, or this process.
  private static let plain: [Rule] = [
    // Files, pipes and terminals that are open.
    "read", "write", "readv", "writev", "pread64", "pwrite64", "preadv", "pwritev", "lseek", "close", "fsync",
    "fdatasync", "fallocate", "fstat", "newfstatat", "statx", "fcntl", "dup", "pipe", "pipe2", "eventfd2",
    "poll", "ppoll", "select", "pselect6", "epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait",
    // Control connections and networks that are open.
    "accept", "accept4", "getsockopt", "setsockopt", "getsockname", "getpeername", "shutdown", "sendto",
    "recvfrom", "sendmsg", "recvmsg",
    // The control socket goes with the domain.
    "unlink",
    // A virtual processor's timer signals its own thread.
    "timer_create", "timer_settime", "timer_gettime", "timer_getoverrun", "timer_delete",
    // Memory, threads, signals, clocks: the C library's and Swift's own needs.
    "munmap", "mremap", "madvise", "brk", "futex", "set_robust_list", "rseq", "membarrier", "sched_yield",
    "sched_getaffinity", "exit", "exit_group", "gettid", "getpid", "rt_sigaction", "rt_sigprocmask",
    "rt_sigreturn", "rt_sigtimedwait", "sigaltstack", "restart_syscall", "getrandom", "clock_gettime",
    "clock_getres", "clock_nanosleep", "nanosleep", "gettimeofday", "time", "getrusage", "sysinfo", "uname",
    "getuid", "geteuid",
  ].map { Rule(call: $0) }

  private static let restricted: [Rule] =
    requests.map { Rule(call: "ioctl", arguments: [Rule.bits(1, 0xffff_ffff as UInt32, $0)]) } + [
      // KVM's requests.
      Rule(call: "ioctl", arguments: [Rule.bits(1, 0xff00, 0xae00)]),
      // Nothing becomes code.
      Rule(call: "mmap", arguments: [Rule.bits(2, PROT_EXEC, 0)]),
      Rule(call: "mprotect", arguments: [Rule.bits(2, PROT_EXEC, 0)]),
      // Threads, but no processes. The flags of clone3 lie in memory, where no filter sees them: glibc does without.
      Rule(call: "clone", arguments: [Rule.bits(0, threadFlag, threadFlag)]),
      Rule(action: refusal(ENOSYS), call: "clone3"),
      // Signals to its own threads.
      Rule(call: "tgkill", arguments: [Rule.equal(0, getpid())]),
      // Threads have names (PR_SET_NAME).
      Rule(call: "prctl", arguments: [Rule.equal(0, 15)]),
      // Limits are read.
      Rule(call: "prlimit64", arguments: [Rule.equal(0, 0), Rule.equal(2, 0)]),
    ]

  /// Terminals are read and set but not typed into (TIOCSTI), and block devices that are open to be written are told what is
  /// not needed. Source: Linux, asm-generic/ioctls.h and linux/fs.h.
  private static let requests: [UInt32] = [
    0x5401, 0x5402, 0x5403, 0x5404,  // TCGETS, TCSETS, TCSETSW, TCSETSF
    0x5413,  // TIOCGWINSZ
    0x541b, 0x5421,  // FIONREAD, FIONBIO
    0x1277,  // BLKDISCARD
  ]

  private static let networkRules: [Rule] = [
    Rule(call: "socket", arguments: [Rule.equal(0, AF_INET)]),
    Rule(call: "connect"), Rule(call: "bind"), Rule(call: "listen"),
    // For reading, which is the access mode 0, and nothing is made.
    Rule(call: "openat", arguments: [Rule.bits(2, O_ACCMODE | O_CREAT | O_TRUNC, 0)]),
    Rule(call: "stat"),
  ]

  /// Rings that are there are entered; others are neither made nor changed.
  private var ringRules: [Rule] {
    rings.map { Rule(call: "io_uring_enter", arguments: [Rule.bits(0, 0xffff_ffff as UInt32, $0)]) }
  }

  private static let intrusions: [Rule] = [
    "execve", "execveat", "ptrace", "process_vm_readv", "process_vm_writev", "mount", "umount2", "pivot_root",
    "chroot", "setns", "unshare", "init_module", "finit_module", "delete_module", "kexec_load", "bpf",
    "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_register", "open_by_handle_at", "keyctl",
    "add_key",
    "request_key", "reboot",
  ].map { Rule(action: alarm, call: $0) }
}
