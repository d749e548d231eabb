// SPDX-License-Identifier: Apache-2.0

import Glibc

/// A program of the system's that packs and unpacks traces, as a process of its own: what a trace says repeats itself, and
/// packed it takes a tenth.
struct TracePacking: Sendable {
  let program: String
  /// How the names of packed files end.
  let ending: String
  /// How they begin.
  let magic: [UInt8]

  private static let all = [
    TracePacking(program: "gzip", ending: ".gz", magic: [0x1f, 0x8b]),
    TracePacking(program: "xz", ending: ".xz", magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0]),
    TracePacking(program: "zstd", ending: ".zst", magic: [0x28, 0xb5, 0x2f, 0xfd]),
  ]

  /// The one that a file's name asks for; nil if it is not to be packed.
  static func named(by path: String) -> TracePacking? { all.first { path.hasSuffix($0.ending) } }

  /// The one that an open file was packed by; nil if it was not.
  static func packing(_ descriptor: Int32) -> TracePacking? {
    var bytes = [UInt8](repeating: 0, count: 6)
    let count = pread(descriptor, &bytes, bytes.count, 0)
    return all.first { count >= $0.magic.count && bytes.starts(with: $0.magic) }
  }

  /// Starts the program, which goes on when a terminal's Ctrl-C ends others.
  /// - Parameter complaints: where it says what is wrong; nil for nowhere.
  /// - Throws: if there is no such program.
  func start(_ arguments: [String], input: Int32, output: Int32, complaints: Int32?) throws(TraceError)
    -> pid_t
  {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
    if let complaints {
      posix_spawn_file_actions_adddup2(&actions, complaints, STDERR_FILENO)
    } else {
      posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
    }
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var heeded = sigset_t()
    sigemptyset(&heeded)
    sigaddset(&heeded, SIGPIPE)
    posix_spawnattr_setsigdefault(&attributes, &heeded)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF))
    let vector = ([program] + arguments).map { strdup($0) } + [nil]
    defer { for argument in vector { free(argument) } }
    var process = pid_t()
    let code = posix_spawnp(&process, program, &actions, &attributes, vector, environ)
    guard code == 0 else {
      throw TraceError(
        description: "\(program), which packs traces whose names end with \(ending), cannot be run: "
          + String(cString: strerror(code)))
    }
    return process
  }

  /// Waits for a program's end.
  /// - Returns: its status as `waitpid` has it; 0 where that is refused.
  static func wait(for process: pid_t) -> Int32 {
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0 && errno == EINTR {}
    return status
  }

  /// A pipe that programs started later do not hold.
  static func pipe() throws(TraceError) -> (reading: Int32, writing: Int32) {
    var ends: [Int32] = [0, 0]
    guard Glibc.pipe(&ends) == 0 else {
      throw TraceError(description: "a trace needs a pipe: \(String(cString: strerror(errno)))")
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
  }
}

/// A packed trace that is being written.
struct PackedTrace: Sendable {
  /// What is written here is packed.
  let descriptor: Int32
  /// Ends when the program has.
  private let complaints: Int32
  private let process: pid_t

  /// - Parameter file: where the packed bytes go; closed when the program has it.
  init(_ packing: TracePacking, into file: Int32) throws(TraceError) {
    defer { close(file) }
    let (content, said) = (try TracePacking.pipe(), try TracePacking.pipe())
    defer {
      close(content.reading)
      close(said.writing)
    }
    process = try packing.start(["-c"], input: content.reading, output: file, complaints: said.writing)
    (descriptor, complaints) = (content.writing, said.reading)
  }

  /// Waits until all is packed: by reading, since a sandbox may refuse to wait for the program.
  /// - Returns: what the program has said is wrong.
  func finish() -> String? {
    close(descriptor)
    defer { close(complaints) }
    var text: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 512)
    while true {
      let count = read(complaints, &buffer, buffer.count)
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { break }
      if text.count < 4096 { text += buffer[..<count] }
    }
    // Where it is not refused, nothing of the program is left behind.
    _ = TracePacking.wait(for: process)
    return text.isEmpty
      ? nil : String(decoding: text, as: UTF8.self).split(whereSeparator: \.isNewline).joined(separator: " ")
  }
}

/// The bytes of a trace's file, unpacked if it is packed.
final class TraceFileReader {
  private let path: String
  private let descriptor: Int32
  /// Who unpacks it.
  private var process: pid_t?

  init(path: String) throws(TraceError) {
    self.path = path
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else { throw Self.failure(path, errno) }
    guard let packing = TracePacking.packing(file) else {
      descriptor = file
      return
    }
    defer { close(file) }
    let pipe = try TracePacking.pipe()
    defer { close(pipe.writing) }
    process = try packing.start(["-dc"], input: file, output: pipe.writing, complaints: nil)
    descriptor = pipe.reading
  }

  deinit {
    // Who unpacks more than is wanted ends at its next write.
    close(descriptor)
    _ = wait()
  }

  private static func failure(_ path: String, _ code: Int32) -> TraceError {
    TraceError(description: "\(path): it cannot be read: \(String(cString: strerror(code)))")
  }

  private func wait() -> Int32 {
    guard let process else { return 0 }
    self.process = nil
    return TracePacking.wait(for: process)
  }

  /// Appends the bytes that come next, at most `count`.
  /// - Returns: false at the end.
  func read(_ count: Int, into bytes: inout [UInt8]) throws(TraceError) -> Bool {
    var piece = [UInt8](repeating: 0, count: count)
    var found = 0
    repeat { found = Glibc.read(descriptor, &piece, count) } while found < 0 && errno == EINTR
    guard found >= 0 else { throw Self.failure(path, errno) }
    if found == 0, wait() != 0 {
      throw TraceError(description: "\(path): it is damaged: it cannot be unpacked to its end")
    }
    bytes += piece[..<found]
    return found > 0
  }
}
