// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Where the sockets lie by which running domains are reached: one a domain, named after it.
public enum ControlDirectory {
  /// `LOCKSTEP_SOCKETS`, or a folder that is this user's alone.
  public static var path: String {
    if let given = getenv("LOCKSTEP_SOCKETS") { return String(cString: given) }
    if getuid() == 0 { return "/run/lockstep" }
    if let runtime = getenv("XDG_RUNTIME_DIR") { return "\(String(cString: runtime))/lockstep" }
    return "/tmp/lockstep-\(getuid())"
  }

  private static let suffix = ".socket"

  static func socket(of name: String) -> String { "\(path)/\(name)\(suffix)" }

  /// The name under which a domain is reached: its own, as far as a file can be called that.
  static func fileName(of domain: String) -> String {
    let allowed = domain.utf8.prefix(40).map { byte -> Character in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
        Character(UnicodeScalar(byte))
      default: "_"
      }
    }
    return allowed.isEmpty ? "domain" : String(allowed)
  }

  /// The names of all sockets, also of processes that died without removing theirs; sorted.
  public static var names: [String] {
    guard let folder = opendir(path) else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name.hasSuffix(suffix) { names.append(String(name.dropLast(suffix.count))) }
    }
    return names.sorted()
  }

  /// Makes the folder, for this user alone.
  /// - Returns: false if there is none that is this user's.
  static func create() -> Bool {
    _ = mkdir(path, 0o700)
    var status = stat()
    // A link, or a folder of somebody else's who could put sockets of his own there, is not taken.
    return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR && status.st_uid == getuid()
      && status.st_mode & 0o022 == 0
  }
}

/// Sockets in the file system.
enum UnixSocket {
  /// Calls `connect` or `bind` with a path's address.
  /// - Returns: nil if that works, else the error's number.
  static func use(
    _ path: String, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
  ) -> Int32? {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let bytes = Array(path.utf8) + [0]
    guard bytes.count <= MemoryLayout.size(ofValue: address.sun_path) else { return ENAMETOOLONG }
    withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
    let result = withUnsafePointer(to: &address) {
      $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
        body($0, socklen_t(MemoryLayout<sockaddr_un>.size))
      }
    }
    return result == 0 ? nil : errno
  }

  /// A new stream socket.
  static func make() -> Int32 { socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0) }

  /// Bounds how long a read or a write waits.
  static func limitWaiting(_ descriptor: Int32, seconds: Int) {
    var time = timeval(tv_sec: seconds, tv_usec: 0)
    let size = socklen_t(MemoryLayout<timeval>.size)
    setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, size)
    setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &time, size)
  }

  /// Writes all bytes; false if the other side does not take them.
  static func write(_ bytes: [UInt8], to descriptor: Int32) -> Bool {
    var done = 0
    while done < bytes.count {
      let count = bytes.withUnsafeBytes {
        send(descriptor, $0.baseAddress! + done, $0.count - done, Int32(MSG_NOSIGNAL))
      }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return false }
      done += count
    }
    return true
  }

  /// Reads up to a line feed, which is left out; nil if none comes within `limit` bytes.
  ///
  /// Byte by byte, so that nothing behind the line is taken: there a console's bytes may follow.
  static func readLine(_ descriptor: Int32, limit: Int) -> [UInt8]? {
    var line: [UInt8] = []
    while line.count < limit {
      var byte: UInt8 = 0
      let count = read(descriptor, &byte, 1)
      if count < 0 && errno == EINTR { continue }
      guard count == 1 else { return nil }
      if byte == UInt8(ascii: "\n") { return line }
      line.append(byte)
    }
    return nil
  }
}
