// SPDX-License-Identifier: Apache-2.0

import Interfaces
import KVM

/// Privileged instructions of a PV kernel, and CPUID with the prefix that makes it trap.
///
/// A guest kernel at CPL 3 may use them as if it were at ring 0, within what the ABI allows; a guest user may not.
struct InstructionEmulator {
  enum Outcome {
    /// The guest goes on here.
    case done(GuestContext)
    /// INT with a vector; the context is behind it.
    case interrupt(Int, GuestContext)
    /// The instruction stores to an address that the guest does not reach: it has that page fault.
    case fault(VirtualAddress)
    /// The guest gets the exception.
    case notOurs
  }

  private let processor: ParavirtualProcessor
  private var context: GuestContext
  private let bytes: [UInt8]
  private var position = 0
  private var rex: UInt8 = 0
  private var wordSized = false
  private var isRepeated = false

  init(_ processor: ParavirtualProcessor, _ context: GuestContext) {
    self.processor = processor
    self.context = context
    var fetched = [UInt8](repeating: 0, count: 15)
    let count = fetched.withUnsafeMutableBytes { processor.copyInstruction(context.instruction, into: $0) }
    bytes = Array(fetched[..<count])
  }

  private mutating func next() -> UInt8? {
    guard position < bytes.count else { return nil }
    defer { position += 1 }
    return bytes[position]
  }

  mutating func run() -> Outcome {
    skipPrefixes()
    guard let opcode = next() else { return .notOurs }
    if opcode == 0xcd, let vector = next() { return .interrupt(Int(vector), finished()) }
    if opcode == 0x0f { return runTwoByte() }
    guard processor.mode == .kernel else { return .notOurs }
    switch opcode {
    case 0xfa, 0xfb:
      // CLI and STI: real Xen ignores them for a kernel that runs at virtual privilege 0.
      return .done(finished())
    case 0xe4, 0xe5: return input(wide: opcode & 1 != 0, port: next().map(UInt16.init))
    case 0xec, 0xed: return input(wide: opcode & 1 != 0, port: UInt16(truncatingIfNeeded: register(2)))
    case 0xe6, 0xe7: return next() == nil ? .notOurs : .done(finished())
    case 0xee, 0xef: return .done(finished())
    case 0x6c, 0x6d: return stringPort(wide: opcode & 1 != 0, index: 7)
    case 0x6e, 0x6f: return stringPort(wide: opcode & 1 != 0, index: 6)
    default: return .notOurs
    }
  }

  private func finished() -> GuestContext {
    var after = context
    after.instruction &+= UInt64(position)
    after.flags &= ~Flags.resume
    return after
  }

  private mutating func skipPrefixes() {
    while position < bytes.count {
      switch bytes[position] {
      case 0x66: wordSized = true
      case 0xf2, 0xf3: isRepeated = true
      case 0xf0, 0x2e, 0x36, 0x3e, 0x26, 0x64, 0x65: break
      case let byte where byte & 0xf0 == 0x40:
        rex = byte
        position += 1
        return
      default: return
      }
      position += 1
    }
  }

  private mutating func runTwoByte() -> Outcome {
    guard let opcode = next() else { return .notOurs }
    if opcode == 0x0b { return prefixedIdentification() }
    if opcode == 0xa2 { return identification() }
    guard processor.mode == .kernel else { return .notOurs }
    switch opcode {
    case 0x06:
      processor.setTaskSwitched(false)
      return .done(finished())
    case 0x08, 0x09: return .done(finished())
    case 0x20, 0x22: return controlRegister(write: opcode == 0x22)
    case 0x21, 0x23: return debugRegister(write: opcode == 0x23)
    case 0x30: return writeModelSpecific()
    case 0x32: return readModelSpecific()
    case 0x01: return next() == 0xd1 ? setExtendedControl() : .notOurs
    default: return .notOurs
    }
  }

  // MARK: Ports

  /// No port belongs to a guest. Reads find an empty bus, except that the timer chip's counter stands still.
  private mutating func input(wide: Bool, port: UInt16?) -> Outcome {
    guard let port else { return .notOurs }
    let timerCounter: UInt16 = 0x42
    let value: UInt64 = port == timerCounter ? 0 : ~0
    let old = register(0)
    if !wide { setRegister(0, old & ~0xff | value & 0xff) }
    if wide, wordSized { setRegister(0, old & ~0xffff | value & 0xffff) }
    if wide, !wordSized { setRegister(0, value & 0xffff_ffff) }
    return .done(finished())
  }

  /// Turns of a repeated instruction that are carried out before others have theirs: the guest then executes it again.
  private static let turnsAtOnce: UInt64 = 1024

  /// INS and OUTS: what is read is all ones, and what is written goes nowhere.
  /// - Parameter index: the register with the address: rdi, which is stored to, or rsi.
  private mutating func stringPort(wide: Bool, index: Int) -> Outcome {
    let size: UInt64 = !wide ? 1 : wordSized ? 2 : 4
    let step = context.flags & Flags.direction != 0 ? 0 &- size : size
    let count = isRepeated ? register(1) : 1
    let turns = min(count, Self.turnsAtOnce)
    for turn in 0..<turns {
      let address = register(index)
      if index == 7, !storeOnes(size, at: address) { return .fault(VirtualAddress(address)) }
      setRegister(index, address &+ step)
      if isRepeated { setRegister(1, count - turn - 1) }
    }
    return .done(turns == count ? finished() : context)
  }

  private func storeOnes(_ size: UInt64, at address: UInt64) -> Bool {
    do throws(HypercallError) {
      switch size {
      case 1: try processor.write(UInt8.max, to: address)
      case 2: try processor.write(UInt16.max, to: address)
      default: try processor.write(UInt32.max, to: address)
      }
      return true
    } catch {
      return false
    }
  }

  // MARK: CPUID

  /// UD2, "xen", CPUID: what every PV guest uses. Source: xen/include/public/arch-x86/xen.h, XEN_CPUID.
  private mutating func prefixedIdentification() -> Outcome {
    for expected: UInt8 in [0x78, 0x65, 0x6e, 0x0f, 0xa2] {
      guard next() == expected else { return .notOurs }
    }
    return identification()
  }

  private mutating func identification() -> Outcome {
    let answer = processor.domain.host.identification.answer(
      leaf: UInt32(truncatingIfNeeded: register(0)), subleaf: UInt32(truncatingIfNeeded: register(1)),
      extendedControl: processor.extendedControl)
    setRegister(0, UInt64(answer.eax))
    setRegister(3, UInt64(answer.ebx))
    setRegister(1, UInt64(answer.ecx))
    setRegister(2, UInt64(answer.edx))
    return .done(finished())
  }

  // MARK: The machine-to-physical table

  /// A load of 4 or 8 bytes from memory: MOV, with a ModRM byte or with an address of its own.
  /// - Parameter value: what stands there, for a width in bytes; nil lets the guest have the fault.
  mutating func runLoad(_ value: (_ byteCount: Int) -> UInt64?) -> Outcome {
    skipPrefixes()
    guard !wordSized, let opcode = next(), let target = loadTarget(opcode) else { return .notOurs }
    guard let loaded = value(rex & 8 != 0 ? 8 : 4) else { return .notOurs }
    setRegister(target, loaded)
    return .done(finished())
  }

  /// The register that a MOV from memory loads; skips the instruction's address.
  private mutating func loadTarget(_ opcode: UInt8) -> Int? {
    var target = 0
    var displacement = 8
    if opcode == 0x8b {
      guard let operand = next(), operand >> 6 != 3 else { return nil }
      target = Int(operand >> 3 & 7 | (rex & 4) << 1)
      var base = operand & 7
      if base == 4 {
        guard let scaled = next() else { return nil }
        base = scaled & 7
      }
      displacement = operand >> 6 == 1 ? 1 : operand >> 6 == 2 || base == 5 ? 4 : 0
    } else if opcode != 0xa1 {
      return nil
    }
    for _ in 0..<displacement where next() == nil { return nil }
    return target
  }

  // MARK: Control and debug registers

  private mutating func controlRegister(write: Bool) -> Outcome {
    guard let (number, general) = registerOperands() else { return .notOurs }
    if write {
      guard processor.writeControl(number, register(general)) else { return .notOurs }
    } else {
      guard let value = processor.readControl(number) else { return .notOurs }
      setRegister(general, value)
    }
    return .done(finished())
  }

  private mutating func debugRegister(write: Bool) -> Outcome {
    guard let (number, general) = registerOperands(), number < 8 else { return .notOurs }
    if write {
      processor.debugRegisters[number] = register(general)
    } else {
      setRegister(general, processor.debugRegisters[number])
    }
    return .done(finished())
  }

  /// The two registers of a ModRM byte: the special one, the general one.
  private mutating func registerOperands() -> (special: Int, general: Int)? {
    guard let byte = next() else { return nil }
    return (Int(byte >> 3 & 7 | (rex & 4) << 1), Int(byte & 7 | (rex & 1) << 3))
  }

  // MARK: Model-specific and extended control registers

  private mutating func writeModelSpecific() -> Outcome {
    let value = register(0) & 0xffff_ffff | register(2) << 32
    let number = UInt32(truncatingIfNeeded: register(1))
    return processor.writeModelSpecific(number, value) ? .done(finished()) : .notOurs
  }

  private mutating func readModelSpecific() -> Outcome {
    guard let value = processor.readModelSpecific(UInt32(truncatingIfNeeded: register(1))) else {
      return .notOurs
    }
    setRegister(0, value & 0xffff_ffff)
    setRegister(2, value >> 32)
    return .done(finished())
  }

  private mutating func setExtendedControl() -> Outcome {
    guard UInt32(truncatingIfNeeded: register(1)) == 0 else { return .notOurs }
    let value = register(0) & 0xffff_ffff | register(2) << 32
    return processor.writeExtendedControl(value) ? .done(finished()) : .notOurs
  }

  // MARK: General registers by number

  private func register(_ number: Int) -> UInt64 { processor.generalRegister(number).pointee }

  private func setRegister(_ number: Int, _ value: UInt64) {
    processor.generalRegister(number).pointee = value
    if number == 4 { processor.virtual.registersChanged = true }
  }
}
