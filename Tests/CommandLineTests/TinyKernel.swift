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

  /// movl $value, offset(%rsi): the start-of-day page lies at rsi when a kernel begins, and behind it its store's and
  /// its console's ring. To be used before what else changes rsi.
  mutating func store(_ value: UInt32, behindStartInfo offset: UInt32) {
    code += [0xc7, 0x86] + Self.little(offset) + Self.little(value)
  }

  /// Raises the event whose port stands in the start-of-day page: lea offset(%rsi), %rsi; mov $4, %edi; mov $32, %eax;
  /// syscall.
  mutating func send(portInStartInfo offset: UInt8) {
    code += [0x48, 0x8d, 0x76, offset, 0xbf, 4, 0, 0, 0, 0xb8, 32, 0, 0, 0, 0x0f, 0x05]
  }

  /// jmp .
  mutating func spin() { code += [0xeb, 0xfe] }

  /// Where it lies and begins.
  static let base: UInt64 = 0x10_0000

  /// Interface, name, loader, base, entry, PAE, features: what GRUB wants of a kernel that it loads.
  private static var notes: [UInt8] {
    let notes: [(type: UInt32, value: [UInt8])] = [
      (5, Array("xen-3.0\0".utf8)), (6, Array("tiny\0".utf8)), (8, Array("generic\0".utf8)),
      (3, little(UInt64(0))),
      (1, little(base)), (9, Array("yes\0".utf8)),
      (10, Array("!writable_page_tables|pae_pgdir_above_4gb\0".utf8)),
    ]
    var bytes: [UInt8] = []
    for note in notes {
      bytes += little(UInt32(4)) + little(UInt32(note.value.count)) + little(note.type)
      bytes += Array("Xen\0".utf8) + note.value
      bytes += [UInt8](repeating: 0, count: (4 - note.value.count % 4) % 4)
    }
    return bytes
  }

  /// Header, the code and the notes as segments; the code begins a page of the file.
  var file: [UInt8] {
    let notes = Self.notes
    let start = frameSize
    var bytes: [UInt8] = [0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    bytes +=
      Self.little(UInt16(2)) + Self.little(UInt16(62)) + Self.little(UInt32(1)) + Self.little(Self.base)
    bytes +=
      Self.little(UInt64(64)) + Self.little(UInt64(0)) + Self.little(UInt32(0)) + Self.little(UInt16(64))
    bytes += [56, 0, 2, 0, 64, 0, 0, 0, 0, 0]
    func program(_ type: UInt32, offset: Int, address: UInt64, size: Int) {
      bytes += Self.little(type) + Self.little(UInt32(7)) + Self.little(UInt64(offset))
      bytes +=
        Self.little(address) + Self.little(address) + Self.little(UInt64(size)) + Self.little(UInt64(size))
      bytes += Self.little(UInt64(8))
    }
    program(1, offset: start, address: Self.base, size: code.count)
    program(4, offset: 64 + 2 * 56, address: 0, size: notes.count)
    bytes += notes
    return bytes + Array(repeating: 0, count: start - bytes.count) + code
  }

  private var frameSize: Int { 4096 }
}
