// SPDX-License-Identifier: Apache-2.0

/// A PV kernel of a few instructions, as an ELF file: what it takes to see how `lockstep run` ends.
struct TinyKernel {
  private var code: [UInt8] = []

  private static func little<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
    withUnsafeBytes(of: value.littleEndian) { Array($0) }
  }

  /// Writes a text to the emergency console: console_io.
  mutating func write(_ text: String) {
    let bytes = Array(text.utf8)
    // jmp over the text, which lies in the code.
    code += [0xe9] + Self.little(UInt32(bytes.count)) + bytes
    // lea text(%rip), %rdx; mov $0, %edi; mov $count, %esi; mov $18, %eax; syscall
    code += [0x48, 0x8d, 0x15] + Self.little(UInt32(bitPattern: Int32(-7 - bytes.count)))
    code += [0xbf, 0, 0, 0, 0, 0xbe] + Self.little(UInt32(bytes.count)) + [0xb8, 18, 0, 0, 0, 0x0f, 0x05]
  }

  /// Ends with a reason: sched_op shutdown.
  mutating func shutDown(_ reason: UInt32) {
    // push $reason; mov %rsp, %rsi; mov $2, %edi; mov $29, %eax; syscall
    code += [0x68] + Self.little(reason) + [0x48, 0x89, 0xe6]
    code += [0xbf, 2, 0, 0, 0, 0xb8, 29, 0, 0, 0, 0x0f, 0x05]
  }

  /// mov %rax, 0x10 (not mapped by anybody)
  mutating func storeNowhere() { code += [0x48, 0xa3] + Self.little(UInt64(0x7000_0000_0000)) }

  /// jmp .
  mutating func spin() { code += [0xeb, 0xfe] }

  /// Header, a segment at address 0, and the one note that makes it a PV kernel.
  var file: [UInt8] {
    let note =
      Self.little(UInt32(4)) + Self.little(UInt32(8)) + Self.little(UInt32(5)) + Array("Xen\0xen-3.0\0".utf8)
    let start = 64 + 2 * 56
    var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    bytes +=
      Self.little(UInt16(2)) + Self.little(UInt16(62)) + Self.little(UInt32(1)) + Self.little(UInt64(0))
    bytes +=
      Self.little(UInt64(64)) + Self.little(UInt64(0)) + Self.little(UInt32(0)) + Self.little(UInt16(64))
    bytes += [56, 0, 2, 0, 64, 0, 0, 0, 0, 0]
    for (type, offset, size) in [(1, start, code.count), (4, start + code.count, note.count)] {
      bytes += Self.little(UInt32(type)) + Self.little(UInt32(7)) + Self.little(UInt64(offset))
      bytes +=
        Self.little(UInt64(0)) + Self.little(UInt64(0)) + Self.little(UInt64(size))
        + Self.little(UInt64(size))
      bytes += Self.little(UInt64(8))
    }
    return bytes + code + note
  }
}
