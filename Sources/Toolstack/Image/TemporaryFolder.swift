// SPDX-License-Identifier: Apache-2.0

import Glibc

/// Folders of the process's own, which nobody else can reach.
enum TemporaryFolder {
  /// Makes a new one; who asks for it removes it.
  /// - Parameter parent: the folder that it lies in.
  /// - Returns: its path.
  static func make(in parent: String) throws(ToolstackError) -> String {
    var template = Array("\(parent)/lockstep-image-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else {
      throw ToolstackError("no folder can be made in \(parent): \(String(cString: strerror(errno)))")
    }
    return String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
