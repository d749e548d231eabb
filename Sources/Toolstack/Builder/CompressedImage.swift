// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Kernels come compressed, as a whole or as the payload of a bzImage: the system's own programs unpack them.
enum CompressedImage {
  private struct Format {
    var magic: [UInt8]
    var program: String
    var arguments: [String]
    /// The Debian package that has the program.
    var package: String
  }

  private static let formats = [
    Format(magic: [0x1f, 0x8b], program: "gzip", arguments: ["-dc"], package: "gzip"),
    Format(magic: [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], program: "xz", arguments: ["-dc"], package: "xz-utils"),
    Format(magic: [0x28, 0xb5, 0x2f, 0xfd], program: "zstd", arguments: ["-dc"], package: "zstd"),
    // The legacy frame, which Linux uses, and today's.
    Format(magic: [0x02, 0x21, 0x4c, 0x18], program: "lz4", arguments: ["-dc"], package: "lz4"),
    Format(magic: [0x04, 0x22, 0x4d, 0x18], program: "lz4", arguments: ["-dc"], package: "lz4"),
    Format(magic: Array("BZh".utf8), program: "bzip2", arguments: ["-dc"], package: "bzip2"),
  ]

  /// The image inside of a compressed one; what is not compressed comes back as it is.
  /// - Parameter limit: the most bytes that an image may unpack to.
  static func unpack(_ bytes: [UInt8], limit: Int) throws(ImageProblem) -> [UInt8] {
    let payload = try linuxPayload(bytes)
    let content = payload ?? bytes[...]
    guard let format = formats.first(where: { content.starts(with: $0.magic) }) else {
      if payload != nil { throw ImageProblem("a Linux kernel compressed in a way that is not supported") }
      return bytes
    }
    // Linux appends the unpacked size to all payloads but those of gzip, whose format has it already.
    let hasSize = payload != nil && format.program != "gzip"
    let size = content.suffix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
    return try run(
      format, on: hasSize ? content.dropLast(4) : content, limit: limit,
      expected: payload == nil ? content.count * 4 : size)
  }

  /// The program that unpacks an image, or the payload of a bzImage; nil if it is not packed in a known way.
  static func program(for bytes: [UInt8]) -> String? {
    let payload = try? linuxPayload(bytes)
    let content = payload ?? bytes[...]
    return formats.first { content.starts(with: $0.magic) }?.program
  }

  /// The payload of a bzImage; nil for all other files. Source: Linux, Documentation/arch/x86/boot.rst.
  private static func linuxPayload(_ bytes: [UInt8]) throws(ImageProblem) -> ArraySlice<UInt8>? {
    let reader = ByteReader(bytes: bytes)
    let magic: UInt32 = 0x5372_6448
    guard reader.integer(at: 0x202, as: UInt32.self) == magic else { return nil }
    guard let version = reader.integer(at: 0x206, as: UInt16.self), version >= 0x208,
      let sectors = reader.integer(at: 0x1f1, as: UInt8.self),
      let offset = reader.integer(at: 0x248, as: UInt32.self),
      let length = reader.integer(at: 0x24c, as: UInt32.self)
    else { throw ImageProblem("a Linux kernel older than 2.6.24; only newer ones run as PV guests") }
    let start = (UInt64(sectors == 0 ? 4 : sectors) + 1) * 512 + UInt64(offset)
    guard let range = reader.range(start, UInt64(length)) else {
      throw ImageProblem("the file is cut off; copy it again")
    }
    return bytes[range]
  }

  /// - Parameter expected: how many bytes it may be, of which nothing depends but the time that it takes.
  private static func run(_ format: Format, on content: ArraySlice<UInt8>, limit: Int, expected: Int)
    throws(ImageProblem) -> [UInt8]
  {
    let failed = ImageProblem("\(format.program) cannot be run on it: ")
    guard let file = tmpfile() else { throw failed.adding(errno) }
    defer { fclose(file) }
    let written = content.withUnsafeBytes { fwrite($0.baseAddress, 1, $0.count, file) }
    guard written == content.count, fflush(file) == 0, lseek(fileno(file), 0, SEEK_SET) == 0 else {
      throw failed.adding(errno)
    }
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { throw failed.adding(errno) }
    // The child must not hold its own pipe's other ends open.
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    let child = start(format, input: fileno(file), output: ends[1])
    close(ends[1])
    defer { close(ends[0]) }
    guard let child else {
      throw ImageProblem(
        "compressed, and there is no program \(format.program); install it: apt-get install \(format.package)"
      )
    }
    let unpacked = readAll(ends[0], limit: limit, expected: expected)
    if unpacked == nil { kill(child, SIGKILL) }
    var status: Int32 = 0
    while waitpid(child, &status, 0) < 0 && errno == EINTR {}
    guard let unpacked else { throw ImageProblem("it unpacks to more than \(limit >> 20) MiB") }
    // gzip and bzip2 exit with 2 for a mere warning.
    guard status == 0 || status == 2 << 8 else {
      throw ImageProblem("damaged: \(format.program) cannot unpack it; copy it again")
    }
    return unpacked
  }

  /// Starts the program; nil if there is none.
  private static func start(_ format: Format, input: Int32, output: Int32) -> pid_t? {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
    posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
    var vector = ([format.program] + format.arguments).map { strdup($0) }
    vector.append(nil)
    defer { for argument in vector { free(argument) } }
    var process = pid_t()
    return posix_spawnp(&process, format.program, &actions, nil, vector, environ) == 0 ? process : nil
  }

  /// All that comes; nil if it is more than `limit`.
  private static func readAll(_ descriptor: Int32, limit: Int, expected: Int) -> [UInt8]? {
    // F_SETPIPE_SZ, which Glibc leaves out: as much as the system lets a pipe hold, so that both sides seldom wait.
    _ = fcntl(descriptor, 1031, 1 << 20)
    var bytes = piece(descriptor, upTo: min(max(expected, 1 << 16), limit))
    while true {
      let more = piece(descriptor, upTo: 1 << 16)
      if more.isEmpty { return bytes }
      guard bytes.count + more.count <= limit else { return nil }
      bytes += more
    }
  }

  /// What comes next: fewer bytes than `count` only at the end.
  private static func piece(_ descriptor: Int32, upTo count: Int) -> [UInt8] {
    [UInt8](unsafeUninitializedCapacity: count) { buffer, filled in
      while filled < count {
        let size = read(descriptor, buffer.baseAddress.map { $0 + filled }, count - filled)
        if size < 0 && errno == EINTR { continue }
        guard size > 0 else { return }
        filled += size
      }
    }
  }
}

extension ImageProblem {
  fileprivate func adding(_ code: Int32) -> ImageProblem {
    ImageProblem(message + String(cString: strerror(code)))
  }
}
