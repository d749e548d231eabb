// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CURing
import Glibc
import Toolstack

/// What a process in the sandbox of `lockstep run` gets of the system: a verb for the sandbox's own test.
struct SandboxProbe: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "sandbox-probe", abstract: "Try system calls in the sandbox.", shouldDisplay: false)

  @Flag(name: .long, help: "In the sandbox of a guest with user-mode networking.")
  var network = false

  @Flag(name: .long, help: "Without the filter of system calls.")
  var noSeccomp = false

  @Flag(name: .long, help: "Without namespaces and Landlock.")
  var noIsolation = false

  @Option(name: .long, help: "A file to remove.")
  var file: String?

  @Argument(help: "What to try.")
  var attempts: [Attempt] = []

  enum Attempt: String, ExpressibleByArgument, CaseIterable {
    case thread, read, resolver, write, remove, inet, datagram, unix, spawn, code, signal, terminal, exec,
      execEarlier, ring, ringEntry, ringChange
  }

  /// Where a thread from before the sandbox waits for it.
  private static let ends = {
    var ends: [Int32] = [0, 0]
    return pipe(&ends) == 0 ? ends : [-1, -1]
  }()

  func run() throws {
    let isolation = Isolation(hasUserNetwork: network, socketFolder: nil)
    for line in noIsolation ? [] : isolation.enter() {
      _ = Glibc.write(STDERR_FILENO, "\(line)\n", line.utf8.count + 1)
    }
    var earlier = pthread_t()
    pthread_create(
      &earlier, nil,
      { _ in
        var byte: UInt8 = 0
        if Glibc.read(SandboxProbe.ends[0], &byte, 1) == 1 { SandboxProbe.execute() }
        return nil
      }, nil)
    do {
      if !noSeccomp { try Sandbox(hasUserNetwork: network).enter() }
    } catch {
      throw CouldNotRun(error.description)
    }
    for attempt in attempts {
      if attempt == .execEarlier {
        _ = Glibc.write(Self.ends[1], "!", 1)
        pthread_join(earlier, nil)
      }
      let code = attempt == .remove ? Self.error(of: unlink(file ?? "")) : Self.attempt(attempt)
      let line = "\(attempt.rawValue): \(code == 0 ? "done" : String(cString: strerror(code)))\n"
      _ = Glibc.write(STDOUT_FILENO, line, line.utf8.count)
    }
  }

  private static func execute() {
    var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("/bin/true"), nil]
    _ = execv("/bin/true", &arguments)
  }

  /// - Returns: the error; 0 for none.
  private static func attempt(_ attempt: Attempt) -> Int32 {
    switch attempt {
    case .thread:
      var thread = pthread_t()
      let code = pthread_create(&thread, nil, { _ in nil }, nil)
      if code == 0 { pthread_join(thread, nil) }
      return code
    case .read: return error(of: open("/etc/passwd", O_RDONLY))
    case .resolver: return error(of: open("/etc/resolv.conf", O_RDONLY))
    case .write: return error(of: open("/dev/null", O_WRONLY))
    case .remove: return ENOENT
    case .datagram: return reachNetwork()
    case .inet: return error(of: socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0))
    case .unix: return error(of: socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0))
    case .spawn:
      var process = pid_t()
      var arguments: [UnsafeMutablePointer<CChar>?] = [strdup("/bin/true"), nil]
      return posix_spawn(&process, "/bin/true", nil, nil, &arguments, environ)
    case .code:
      return mmap(nil, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED
        ? errno : 0
    case .signal: return error(of: kill(getppid(), 0))
    // A request that no part of lockstep makes.
    case .terminal: return error(of: tcflush(STDIN_FILENO, TCIFLUSH))
    case .ring:
      var parameters = io_uring_params()
      return -min(io_uring_setup(1, &parameters), 0)
    // Of a descriptor that is none of the rings that a guest's disks have.
    case .ringEntry: return -min(io_uring_enter(0, 0, 0, 0, nil), 0)
    case .ringChange: return -min(io_uring_register(0, UInt32(IORING_REGISTER_PROBE), nil, 0), 0)
    case .exec, .execEarlier:
      execute()
      return errno
    }
  }

  /// Datagrams to this host: no filter is asked where they may go.
  private static func reachNetwork() -> Int32 {
    let socket = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
    guard socket >= 0 else { return errno }
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = in_port_t(9).bigEndian
    address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
    return withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        error(of: connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)))
      }
    }
  }

  private static func error(of result: Int32) -> Int32 { result < 0 ? errno : 0 }
}
