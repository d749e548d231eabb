// SPDX-License-Identifier: Apache-2.0

/// Reads little-endian integers and text from a file's bytes, never beyond their end.
///
/// Offsets come from the file itself, so they are 64 bits wide and may be anything.
struct ByteReader: Sendable {
  let bytes: [UInt8]

  var count: UInt64 { UInt64(bytes.count) }

  /// The part of the file that begins at `offset` and is `count` bytes long; nil if it is not all there.
  func range(_ offset: UInt64, _ count: UInt64) -> Range<Int>? {
    let (end, overflow) = offset.addingReportingOverflow(count)
    guard !overflow, end <= self.count else { return nil }
    return Int(offset)..<Int(end)
  }

  func integer<Value: FixedWidthInteger>(at offset: UInt64, as type: Value.Type = Value.self) -> Value? {
    guard let range = range(offset, UInt64(MemoryLayout<Value>.size)) else { return nil }
    return bytes.withUnsafeBytes {
      Value(littleEndian: $0.loadUnaligned(fromByteOffset: range.lowerBound, as: Value.self))
    }
  }

  /// No text that a loader asks for is longer, and a file may call all of itself a text, over and over.
  static let maximumText = 4096

  /// The text up to a zero byte within a range, or as much as `maximumText`; bytes that are not UTF-8 are replaced.
  func text(in range: Range<Int>) -> String {
    String(decoding: bytes[range].prefix(Self.maximumText).prefix { $0 != 0 }, as: UTF8.self)
  }
}

extension UInt64 {
  /// `offset + count`, or nil beyond the last 64-bit offset.
  func advanced(by count: UInt64) -> UInt64? {
    let (sum, overflow) = addingReportingOverflow(count)
    return overflow ? nil : sum
  }
}
