// SPDX-License-Identifier: Apache-2.0

import Glibc
import Interfaces
import Synchronization
import Xenstore

/// What a guest writes with `console_io`, where real Xen has its own log: lines behind the domain's number, `(d1)`.
///
/// Writing is quick whoever reads the log, and however slowly: what nobody takes is kept up to `limit`, then lost,
/// which is said. Control characters do not get through.
public final class EmergencyConsole: Sendable {
  private struct Pending {
    /// The line that the guest has not ended yet.
    var line: [UInt8] = []
    var text: [UInt8] = []
    var lost = 0
  }

  private let prefix: [UInt8]
  private let output: Int32
  private let thread: ServiceThread
  private let pending = Mutex(Pending())

  /// Bytes of text kept for a log that is not written; and the longest line, which is then broken.
  static let limit = 64 << 10
  static let longestLine = 512

  public init(of domain: DomainID, output: Int32) {
    prefix = Array("(d\(domain)) ".utf8)
    self.output = output
    thread = ServiceThread(name: "log-\(domain)")
    thread.start { [self] in flush() }
  }

  /// Takes what a guest has written; from any thread.
  public func write(_ bytes: [UInt8]) {
    let hasText = pending.withLock { pending in
      for byte in bytes { add(byte, to: &pending) }
      return !pending.text.isEmpty || pending.lost > 0
    }
    if hasText { thread.signal() }
  }

  private func add(_ byte: UInt8, to pending: inout Pending) {
    if byte >= 0x20 && byte != 0x7f || byte == UInt8(ascii: "\t") { pending.line.append(byte) }
    if byte == UInt8(ascii: "\n") || pending.line.count >= Self.longestLine { endLine(&pending) }
  }

  private func endLine(_ pending: inout Pending) {
    if pending.text.count < Self.limit {
      pending.text += prefix + pending.line + [UInt8(ascii: "\n")]
    } else {
      pending.lost += pending.line.count
    }
    pending.line = []
  }

  private func flush() {
    var text = pending.withLock { pending in
      defer {
        pending.text = []
        pending.lost = 0
      }
      let note = pending.lost > 0 ? "[\(pending.lost) bytes lost: the log was not written]\n" : ""
      return pending.text + (note.isEmpty ? [] : prefix + Array(note.utf8))
    }[...]
    while !text.isEmpty {
      let count = text.withUnsafeBytes { Glibc.write(output, $0.baseAddress, $0.count) }
      if count < 0 && errno == EINTR { continue }
      guard count > 0 else { return }
      text = text.dropFirst(count)
    }
  }

  /// Ends the log, with the line that the guest has not ended.
  public func close() {
    pending.withLock { pending in
      if !pending.line.isEmpty { endLine(&pending) }
    }
    thread.stop()
    flush()
  }
}
