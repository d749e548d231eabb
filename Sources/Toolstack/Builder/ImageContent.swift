// SPDX-License-Identifier: Apache-2.0

import Glibc

/// What a domain is built from, kernel or RAM disk: once at its start, and again at each restart.
protocol ImageContent: Sendable {
  var count: Int { get }

  /// Hands out a range of the bytes, in order, in one piece or several.
  /// - Throws: if they cannot be read any more.
  func read(_ range: Range<Int>, _ piece: (UnsafeRawBufferPointer) -> Void) throws(ImageProblem)
}

extension Array: ImageContent where Element == UInt8 {
  func read(_ range: Range<Int>, _ piece: (UnsafeRawBufferPointer) -> Void) {
    withUnsafeBytes { piece(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }
}

/// Bytes in a file of the process's own that has no name: until a restart asks for them they take none of its memory, and
/// what the system caches of them it may drop. The file on which they came may change meanwhile, this one does not.
final class KeptContent: ImageContent {
  let count: Int
  private let descriptor: Int32

  /// Bytes that are read at a time.
  private static let pieceSize = 1 << 20

  /// Keeps bytes; nil if no folder for temporary files has room for them.
  ///
  /// `/var/tmp` is asked first, unless the user says otherwise: `/tmp` may itself be memory.
  init?(_ bytes: [UInt8]) {
    let chosen = getenv("TMPDIR").map { [String(cString: $0)] } ?? []
    for folder in chosen + ["/var/tmp", "/tmp"] {
      guard let file = Self.make(in: folder) else { continue }
      if Self.write(bytes, to: file) {
        (descriptor, count) = (file, bytes.count)
        return
      }
      close(file)
    }
    return nil
  }

  deinit { close(descriptor) }

  private static func make(in folder: String) -> Int32? {
    var name = Array("\(folder)/lockstep-XXXXXX".utf8CString)
    let descriptor = mkstemp(&name)
    guard descriptor >= 0 else { return nil }
    unlink(name)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
    return descriptor
  }

  private static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    bytes.withUnsafeBytes { bytes in
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = Glibc.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
        if count < 0 && errno == EINTR { continue }
        guard count > 0 else { return false }
        rest = rest.dropFirst(count)
      }
      return true
    }
  }

  func read(_ range: Range<Int>, _ piece: (UnsafeRawBufferPointer) -> Void) throws(ImageProblem) {
    precondition(range.lowerBound >= 0 && range.upperBound <= count)
    let buffer = UnsafeMutableRawBufferPointer.allocate(
      byteCount: min(Self.pieceSize, range.count), alignment: 16)
    defer { buffer.deallocate() }
    var rest = range
    while !rest.isEmpty {
      let size = pread(descriptor, buffer.baseAddress, min(buffer.count, rest.count), rest.lowerBound)
      if size < 0 && errno == EINTR { continue }
      guard size > 0 else {
        throw ImageProblem(
          "the copy that is kept for restarts cannot be read: \(String(cString: strerror(size < 0 ? errno : EIO)))"
        )
      }
      piece(UnsafeRawBufferPointer(rebasing: buffer[..<size]))
      rest = (rest.lowerBound + size)..<rest.upperBound
    }
  }
}
