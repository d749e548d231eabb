// SPDX-License-Identifier: Apache-2.0
//
// Just enough of an assembler for x86-64 to put register programs into machine code. Encodings are those of the Intel 64
// and IA-32 Architectures Software Developer's Manual, volume 2. Operands in memory are always [base + 32-bit offset].

/// Machine code in the making.
struct Assembler {
  /// General registers by their number in encodings; only those that a callee need not preserve.
  enum Register: UInt8 {
    case rax = 0, rcx = 1, rdx = 2, rsi = 6, rdi = 7, r8 = 8, r9 = 9, r10 = 10, r11 = 11
    var low: UInt8 { rawValue & 7 }
    var high: UInt8 { rawValue >> 3 }
  }

  /// Conditions as they end the opcodes of jumps, moves and sets; comparisons are of unsigned numbers.
  enum Condition: UInt8 {
    case below = 2, notBelow = 3, equal = 4, notEqual = 5, notAbove = 6, above = 7
  }

  /// `target ← target op [memory]`, by opcode.
  enum Arithmetic: UInt8 {
    case add = 0x03, or = 0x0B, and = 0x23, subtract = 0x2B, xor = 0x33, compare = 0x3B
  }

  private(set) var code: [UInt8] = []

  mutating func bytes(_ bytes: UInt8...) { code += bytes }
  mutating func number(_ value: Int32) { withUnsafeBytes(of: value.littleEndian) { code += $0 } }
  mutating func number(_ value: UInt64) { withUnsafeBytes(of: value.littleEndian) { code += $0 } }

  /// An instruction of 64 bits with a register and a place in memory; neither rsp nor r12 can be a base here.
  private mutating func memory(_ opcode: [UInt8], _ register: Register, _ base: Register, _ offset: Int32) {
    bytes(0x48 | register.high << 2 | base.high)
    code += opcode
    bytes(0x80 | register.low << 3 | base.low)
    number(offset)
  }

  mutating func load(_ target: Register, _ base: Register, _ offset: Int32) {
    memory([0x8B], target, base, offset)
  }
  mutating func store(_ base: Register, _ offset: Int32, _ source: Register) {
    memory([0x89], source, base, offset)
  }
  mutating func address(_ target: Register, _ base: Register, _ offset: Int32) {
    memory([0x8D], target, base, offset)
  }
  mutating func arithmetic(_ operation: Arithmetic, _ target: Register, _ base: Register, _ offset: Int32) {
    memory([operation.rawValue], target, base, offset)
  }
  /// `target ← [memory] · factor`
  mutating func multiply(_ target: Register, _ base: Register, _ offset: Int32, by factor: Int32) {
    memory([0x69], target, base, offset)
    number(factor)
  }
  /// Compares [memory] with 0.
  mutating func compareZero(_ base: Register, _ offset: Int32) {
    memory([0x83], .rdi, base, offset)  // /7
    bytes(0)
  }
  mutating func increment(_ base: Register, _ offset: Int32) { memory([0xFF], .rax, base, offset) }  // /0
  mutating func add(_ base: Register, _ offset: Int32, _ value: Int32) {
    memory([0x81], .rax, base, offset)  // /0
    number(value)
  }
  /// `target ← [memory]` if the condition holds.
  mutating func move(if condition: Condition, _ target: Register, _ base: Register, _ offset: Int32) {
    memory([0x0F, 0x40 | condition.rawValue], target, base, offset)
  }

  /// `target ← [base + 8 · index + offset]`
  mutating func load(_ target: Register, _ base: Register, index: Register, _ offset: Int32) {
    indexed(0x8B, target, base, index, offset)
  }
  mutating func store(_ base: Register, index: Register, _ offset: Int32, _ source: Register) {
    indexed(0x89, source, base, index, offset)
  }
  private mutating func indexed(
    _ opcode: UInt8, _ register: Register, _ base: Register, _ index: Register, _ offset: Int32
  ) {
    bytes(0x48 | register.high << 2 | index.high << 1 | base.high, opcode)
    bytes(0x84 | register.low << 3, 0xC0 | index.low << 3 | base.low)
    number(offset)
  }

  /// `target ← 0` or 1.
  mutating func set(_ condition: Condition, _ target: Register) {
    bytes(0x0F, 0x90 | condition.rawValue, 0xC0 | target.low)  // the low byte
    bytes(0x0F, 0xB6, 0xC0 | target.low << 3 | target.low)  // movzx
  }

  mutating func constant(_ target: Register, _ value: UInt64) {
    bytes(0x48 | target.high, 0xB8 | target.low)
    number(value)
  }
  /// What the function answers: rax, 32 bits wide.
  mutating func answer(_ value: Int32) {
    bytes(0xB8)
    number(value)
    bytes(0xC3)
  }

  /// Keeps the lowest bits of rax.
  mutating func truncate(bits: Int) {
    switch bits {
    case 64...: break
    case 32: bytes(0x89, 0xC0)
    case ..<32:
      bytes(0x25)
      number(Int32.max >> Int32(31 - bits))
    default: bytes(0x48, 0xC1, 0xE0, UInt8(64 - bits), 0x48, 0xC1, 0xE8, UInt8(64 - bits))
    }
  }

  /// A jump, to be told later where; returns where it is to be told.
  mutating func jump(if condition: Condition? = nil) -> Int {
    if let condition { bytes(0x0F, 0x80 | condition.rawValue) } else { bytes(0xE9) }
    number(Int32(0))
    return code.count - 4
  }

  mutating func patch(_ jump: Int, to target: Int) {
    withUnsafeBytes(of: Int32(target - jump - 4).littleEndian) { bytes in
      for (index, byte) in bytes.enumerated() { code[jump + index] = byte }
    }
  }
}
