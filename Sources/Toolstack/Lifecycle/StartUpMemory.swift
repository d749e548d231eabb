// SPDX-License-Identifier: Apache-2.0

import CKVM
import Glibc

/// What only the start of a domain needed of the process's memory.
final class StartUpMemory {
  /// What is mapped where: opened before the process is confined, read when it is given back.
  private let maps = fopen("/proc/self/maps", "re")

  deinit { if let maps { fclose(maps) } }

  /// Gives it back to the system: what the allocator holds free, and the code of this program and its libraries, of which
  /// what is still used comes back from the page cache as it runs.
  func giveBack() {
    malloc_trim(0)
    guard let maps else { return }
    rewind(maps)
    var line = [CChar](repeating: 0, count: 8192)
    while fgets(&line, Int32(line.count), maps) != nil {
      let bytes = line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
      guard let code = Self.codeOfFile(String(decoding: bytes, as: UTF8.self)) else { continue }
      // Code is never written to, so that dropping it loses nothing.
      madvise(UnsafeMutableRawPointer(bitPattern: code.lowerBound), code.count, MADV_DONTNEED)
    }
  }

  /// The addresses of a line of `/proc/self/maps` that tells of code from a file; nil if it tells of anything else.
  /// Source: proc(5): `start-end r-xp offset device inode path`.
  static func codeOfFile(_ line: String) -> Range<UInt>? {
    let fields = line.split(whereSeparator: \.isWhitespace)
    guard fields.count >= 6, fields[1] == "r-xp", fields[5].hasPrefix("/") else { return nil }
    let ends = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
    guard ends.count == 2, ends[0] < ends[1] else { return nil }
    return ends[0]..<ends[1]
  }
}
