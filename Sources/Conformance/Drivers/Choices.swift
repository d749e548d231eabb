// SPDX-License-Identifier: Apache-2.0

/// Bytes read as choices: the one decoder of the random driver and of the coverage-guided fuzzer. Any bytes are
/// valid; when they end, every choice is 0.
public struct Choices {
  private let bytes: [UInt8]
  private var position = 0

  public init(_ bytes: [UInt8]) { self.bytes = bytes }

  /// Whether the bytes have ended: a sequence ends here.
  public var areExhausted: Bool { position >= bytes.count }

  /// A number below `count`, which is 1 … 2¹⁶. One byte up to 256, else two.
  public mutating func pick(_ count: Int) -> Int {
    if count <= 1 { return 0 }
    if count <= 256 { return Int(byte()) % count }
    return (Int(byte()) << 8 | Int(byte())) % count
  }

  /// True once in `count` times.
  public mutating func oneIn(_ count: Int) -> Bool { pick(count) == count - 1 }

  public mutating func bit() -> Bool { byte() & 1 != 0 }

  public mutating func word() -> UInt32 {
    (0..<4).reduce(0) { word, _ in word << 8 | UInt32(byte()) }
  }

  private mutating func byte() -> UInt8 {
    guard position < bytes.count else { return 0 }
    defer { position += 1 }
    return bytes[position]
  }
}
