// SPDX-License-Identifier: Apache-2.0

import Glibc
import Synchronization

/// A program of the host's that an image is made with, and the Debian package that has it.
struct HostProgram {
  let name: String
  let package: String
  /// Where it lies.
  let path: String

  /// Looks for a program; programs of system administration too, which users have no path to.
  init(_ name: String, package: String) throws(ToolstackError) {
    let candidates = Self.searchPath.split(separator: ":").map { "\($0)/\(name)" }
    guard let path = candidates.first(where: { access($0, X_OK) == 0 }) else {
      throw ToolstackError("there is no program \(name); install it: apt-get install \(package)")
    }
    self.name = name
    self.package = package
    self.path = path
  }

  /// The process that runs now; 0 for none. One image is made at a time.
  private static let running = Atomic<pid_t>(0)

  /// Ends the program that runs now, if one does, so that it makes no more files.
  static func stop() {
    let process = running.exchange(0, ordering: .relaxed)
    guard process > 0, kill(process, SIGKILL) == 0 else { return }
    // Whoever started it waits for it; until then it may still be about to end.
    for _ in 0..<100 where kill(process, 0) == 0 { usleep(10_000) }
  }

  private static var searchPath: String {
    let own = getenv("PATH").map { String(cString: $0) } ?? "/usr/local/bin:/usr/bin:/bin"
    return own + ":/usr/sbin:/sbin"
  }

  /// Runs it to its end.
  /// - Parameters:
  ///   - folder: where it runs.
  ///   - input: the file that is its standard input.
  ///   - output: the file that gets its standard output; nil for: it is returned.
  /// - Throws: what it said last, if it fails.
  @discardableResult
  func run(
    _ arguments: [String], in folder: String? = nil, input: String = "/dev/null", output: String? = nil
  ) throws(ToolstackError) -> String {
    guard let said = tmpfile(), let complaint = tmpfile() else {
      throw ToolstackError("no temporary file can be made: \(String(cString: strerror(errno)))")
    }
    defer {
      fclose(said)
      fclose(complaint)
    }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, input, O_RDONLY, 0)
    if let output {
      posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    } else {
      posix_spawn_file_actions_adddup2(&actions, fileno(said), STDOUT_FILENO)
    }
    posix_spawn_file_actions_adddup2(&actions, fileno(complaint), STDERR_FILENO)
    // What it says is read by a program: in English.
    let setting = ["LC_ALL=C", "PATH=\(Self.searchPath)"]
    let status = Self.spawn(
      "/usr/bin/env", ["env", "-C", folder ?? "."] + setting + [path] + arguments, &actions)
    guard status == 0 else {
      let last = Self.contents(complaint).split(whereSeparator: \.isNewline).last ?? "exit status \(status)"
      throw ToolstackError("\(name): \(last)")
    }
    return Self.contents(said)
  }

  /// The exit status; 128 and more for a program that did not start or was killed.
  private static func spawn(
    _ path: String, _ arguments: [String], _ actions: inout posix_spawn_file_actions_t
  ) -> Int32 {
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // What this process does not heed, a program that it starts heeds all the same.
    var heeded = sigset_t()
    sigemptyset(&heeded)
    for number in [SIGINT, SIGTERM, SIGPIPE] { sigaddset(&heeded, number) }
    posix_spawnattr_setsigdefault(&attributes, &heeded)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
    let vector = arguments.map { strdup($0) } + [nil]
    defer { for argument in vector { free(argument) } }
    var process = pid_t()
    guard posix_spawn(&process, path, &actions, &attributes, vector, environ) == 0 else { return 255 }
    running.store(process, ordering: .relaxed)
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    running.store(0, ordering: .relaxed)
    return status & 0x7f == 0 ? status >> 8 & 0xff : 128 + (status & 0x7f)
  }

  private static func contents(_ file: UnsafeMutablePointer<FILE>) -> String {
    rewind(file)
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 14)
    while true {
      let count = fread(&buffer, 1, buffer.count, file)
      guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
      bytes += buffer[..<count]
    }
  }
}
