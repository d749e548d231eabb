// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Reads whole files that the user names.
enum HostFile {
  /// Kernels, packed and unpacked, and RAM disks are at most so large: 1 GiB.
  static let kernelLimit = 1 << 30

  /// - Parameters:
  ///   - role: what the file is to be, for messages: "kernel".
  ///   - limit: the most bytes that such a file has.
  static func read(_ path: String, role: String, limit: Int) throws(ToolstackError) -> [UInt8] {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw failure(path, role, errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw failure(path, role, errno) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw ToolstackError("\(role) \(path): it is no file; correct the path")
    }
    guard status.st_size <= limit else {
      let most = limit % (1 << 20) == 0 ? "\(limit >> 20) MiB" : "\(limit >> 10) KiB"
      throw ToolstackError("\(role) \(path): it has more than \(most), too many for a \(role)")
    }
    var problem: Int32 = 0
    let size = Int(status.st_size)
    let bytes = [UInt8](unsafeUninitializedCapacity: size) { buffer, filled in
      while filled < size {
        let more = Glibc.read(descriptor, buffer.baseAddress.map { $0 + filled }, size - filled)
        if more < 0 && errno == EINTR { continue }
        if more < 0 { problem = errno }
        // The file was cut while it was read.
        guard more > 0 else { return }
        filled += more
      }
    }
    guard problem == 0 else { throw failure(path, role, problem) }
    return bytes
  }

  private static func failure(_ path: String, _ role: String, _ code: Int32) -> ToolstackError {
    switch code {
    case ENOENT: ToolstackError("\(role) \(path): there is no such file; correct the path")
    case EACCES, EPERM: ToolstackError("\(role) \(path): no permission to read it; change its mode")
    default: ToolstackError("\(role) \(path): it cannot be read: \(String(cString: strerror(code)))")
    }
  }
}

extension GuestConfiguration {
  /// Bytes of a configuration file; each line is compared with those above it, so there must not be endless many.
  static let configurationLimit = 1 << 16

  /// Reads a configuration file.
  /// - Returns: the configuration, and what in the file has no effect or a doubtful one.
  public static func load(_ path: String) throws(ToolstackError)
    -> (configuration: GuestConfiguration, warnings: [ConfigurationProblem])
  {
    let bytes = try HostFile.read(path, role: "configuration", limit: configurationLimit)
    do {
      return try parse(bytes, file: path)
    } catch {
      throw ToolstackError(error.description)
    }
  }
}
