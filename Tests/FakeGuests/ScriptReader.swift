// SPDX-License-Identifier: Apache-2.0

/// A script's bytes, one after the other; 0 beyond their end.
struct ScriptReader {
  private var rest: Slice<UnsafeBufferPointer<UInt8>>

  init(_ bytes: UnsafeBufferPointer<UInt8>) { rest = bytes[...] }

  /// The next byte; nil at the end.
  mutating func next() -> UInt8? { rest.popFirst() }

  mutating func byte() -> UInt8 { next() ?? 0 }

  /// 16 bits, the lower ones first.
  mutating func word() -> UInt16 { UInt16(byte()) | UInt16(byte()) << 8 }

  /// So many bytes, or all that are left.
  mutating func take(_ count: Int) -> [UInt8] {
    defer { rest = rest.dropFirst(count) }
    return Array(rest.prefix(count))
  }
}
