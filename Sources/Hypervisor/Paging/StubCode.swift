// SPDX-License-Identifier: Apache-2.0

/// Machine code of a stub, put together once, with short jumps to places in it that have names.
struct StubCode<Label: Hashable & Sendable>: Sendable {
  private(set) var bytes: [UInt8] = []
  /// Where the named places lie, in bytes from the beginning.
  private(set) var offsets: [Label: Int] = [:]
  private var jumps: [(end: Int, label: Label)] = []

  /// Instructions without jumps.
  mutating func add(_ code: UInt8...) { bytes += code }

  /// An instruction that ends with a number of 64 bits.
  mutating func add(_ code: UInt8..., number: UInt64) {
    bytes += code + (0..<8).map { UInt8(truncatingIfNeeded: number >> (8 * $0)) }
  }

  /// Gives a name to what follows.
  mutating func mark(_ label: Label) { offsets[label] = bytes.count }

  /// A jump to a named place.
  /// - Parameter opcode: of a jump with a distance of 8 bits.
  mutating func jump(_ opcode: JumpOpcode, to label: Label) {
    bytes += [opcode.rawValue, 0]
    jumps.append((bytes.count, label))
  }

  /// Fills in the distances of all jumps.
  mutating func finish() {
    for jump in jumps {
      guard let target = offsets[jump.label], let distance = Int8(exactly: target - jump.end) else {
        preconditionFailure("a stub's jump leads too far, or nowhere")
      }
      bytes[jump.end - 1] = UInt8(bitPattern: distance)
    }
    jumps = []
  }
}

/// Jumps with a distance of 8 bits. Source: Intel SDM volume 2.
enum JumpOpcode: UInt8 {
  case always = 0xeb
  case ifBelow = 0x72
  case ifEqual = 0x74
  case ifNotEqual = 0x75
}
