// SPDX-License-Identifier: Apache-2.0

/// Enough of an assembler to write guests of a few instructions.
struct Assembler {
  enum Register: UInt8 {
    case rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
  }

  private(set) var bytes: [UInt8] = []

  mutating func raw(_ values: UInt8...) { bytes += values }

  /// mov $value, %register
  mutating func move(_ value: UInt64, to register: Register) {
    bytes += [0x48 | register.rawValue >> 3, 0xb8 | register.rawValue & 7]
    bytes += (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
  }

  /// mov %rax, address
  mutating func storeRAX(at address: UInt64) {
    bytes += [0x48, 0xa3] + (0..<8).map { UInt8(truncatingIfNeeded: address >> ($0 * 8)) }
  }

  /// mov address, %rax
  mutating func loadRAX(from address: UInt64) {
    bytes += [0x48, 0xa1] + (0..<8).map { UInt8(truncatingIfNeeded: address >> ($0 * 8)) }
  }

  /// Stores a value in memory, through rax.
  mutating func store(_ value: UInt64, at address: UInt64) {
    move(value, to: .rax)
    storeRAX(at: address)
  }

  /// A hypercall; its result is in rax.
  mutating func hypercall(_ number: UInt64, _ arguments: UInt64...) {
    for (value, register) in zip(arguments, [Register.rdi, .rsi, .rdx, .r10, .r8]) {
      move(value, to: register)
    }
    move(number, to: .rax)
    raw(0x0f, 0x05)
  }

  /// sched_op shutdown, with the argument in memory at `scratch`.
  mutating func shutdown(_ reason: UInt64 = 0, scratch: UInt64) {
    store(reason, at: scratch)
    hypercall(29, 2, scratch)
  }

  /// mov (%rsp + offset), %rax
  mutating func loadRAX(fromStack offset: UInt8) { raw(0x48, 0x8b, 0x44, 0x24, offset) }

  /// Waits until a word in memory is not 0, without leaving the guest.
  mutating func waitForWord(at address: UInt64) {
    let start = bytes.count
    loadRAX(from: address)
    raw(0x48, 0x85, 0xc0, 0x74)
    bytes.append(UInt8(truncatingIfNeeded: start - bytes.count - 1))
  }

  /// Makes a structure in memory and passes it to a hypercall of the form (command, pointer).
  mutating func call(_ number: UInt64, _ command: UInt64, at place: UInt64, _ words: [UInt64]) {
    for (index, word) in words.enumerated() { store(word, at: place + UInt64(index) * 8) }
    hypercall(number, command, place)
  }

  /// jmp .
  mutating func spin() { raw(0xeb, 0xfe) }
}
