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

  @Flag(name: .long, help: "In no sandbox.")
  var noSandbox = false

  @Argument(help: "What to try.")
  var attempts: [Attempt]

  enum Attempt: String, ExpressibleByArgument, CaseIterable {
    case thread, read, write, inet, unix, spawn, code, signal, terminal, exec, execEarlier, ring, ringEntry,
      ringChange
  }

  /// Where a thread from before the sandbox waits for it.
  private static let ends = {
    var ends: [Int32] = [0, 0]
    return pipe(&ends) == 0 ? ends : [-1, -1]
  }()

  func run() throws {
    var earlier = pthread_t()
    pthread_create(
      &earlier, nil,
      { _ in
        var byte: UInt8 = 0
        if Glibc.read(SandboxProbe.ends[0], &byte, 1) == 1 { SandboxProbe.execute() }
        return nil
      }, nil)
    do {
      if !noSandbox { try Sandbox(hasUserNetwork: network).enter() }
    } catch {
      throw CouldNotRun(error.description)
    }
    for attempt in attempts {
      if attempt == .execEarlier {
        _ = Glibc.write(Self.ends[1], "!", 1)
        pthread_join(earlier, nil)
      }
      let code = Self.attempt(attempt)
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
    case .write: return error(of: open("/dev/null", O_WRONLY))
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

  private static func error(of result: Int32) -> Int32 { result < 0 ? errno : 0 }
}
