// SPDX-License-Identifier: Apache-2.0

/// Translates instructions one by one: operands and results stay in memory, where the interpreter has them, so that the
/// two can take turns. rdi points to register 0, rsi to the successor buffer; r8 is the successor being made.
struct NativeCompilation {
  private(set) var assembler = Assembler()
  /// Where each instruction's code begins.
  private(set) var offsets: [Int] = []
  private let constants: [UInt64]
  private let words: Int
  private var jumps: [(place: Int, target: Int)] = []
  /// The register whose value rax has, too.
  private var held: Int32?

  /// The most registers on either side of register 0: offsets have 32 bits.
  static let registerLimit = 1 << 26

  /// - Parameter words: of a packed state, for code that makes successors.
  init(_ code: [Instruction], constants: [UInt64], words: Int) {
    self.constants = constants
    self.words = words
    let targets = Set(code.filter(\.isJump).map(\.target))
    for (index, instruction) in code.enumerated() {
      if targets.contains(Int32(index)) { held = nil }
      offsets.append(assembler.code.count)
      // Code is entered behind an end, too.
      if instruction.operation == .end { held = nil }
      translate(instruction)
      if instruction.operation == .end { held = nil }
    }
    for jump in jumps { assembler.patch(jump.place, to: offsets[jump.target]) }
  }

  private func at(_ register: Int32) -> Int32 { register * 8 }

  private mutating func fetch(_ register: Int32) {
    if held != register { assembler.load(.rax, .rdi, at(register)) }
    held = nil
  }

  /// Register `target` ← rax.
  private mutating func put(_ target: Int32) {
    assembler.store(.rdi, at(target), .rax)
    held = target
  }

  private mutating func jump(_ target: Int32, if condition: Assembler.Condition? = nil) {
    jumps.append((assembler.jump(if: condition), Int(target)))
  }

  private mutating func binary(_ operation: Assembler.Arithmetic, _ i: Instruction) {
    fetch(i.a)
    assembler.arithmetic(operation, .rax, .rdi, at(i.b))
    if operation == .add || operation == .subtract { assembler.truncate(bits: 64 - Int(i.shift)) }
    put(i.target)
  }

  private mutating func comparison(_ condition: Assembler.Condition, _ i: Instruction) {
    fetch(i.a)
    assembler.arithmetic(.compare, .rax, .rdi, at(i.b))
    assembler.set(condition, .rax)
    put(i.target)
  }

  private mutating func jumpZero(_ condition: Assembler.Condition, _ i: Instruction) {
    assembler.compareZero(.rdi, at(i.a))
    jump(i.target, if: condition)
  }

  private mutating func jumpCompared(_ condition: Assembler.Condition, _ i: Instruction) {
    fetch(i.a)
    assembler.arithmetic(.compare, .rax, .rdi, at(i.b))
    held = i.a
    jump(i.target, if: condition)
  }

  private mutating func translate(_ i: Instruction) {
    switch i.operation {
    case .move:
      fetch(i.a)
      put(i.target)
    case .not:
      fetch(i.a)
      assembler.bytes(0x48, 0x83, 0xF0, 1)  // xor rax, 1
      put(i.target)
    case .and: binary(.and, i)
    case .or: binary(.or, i)
    case .xor: binary(.xor, i)
    case .add: binary(.add, i)
    case .subtract: binary(.subtract, i)
    case .equal: comparison(.equal, i)
    case .notEqual: comparison(.notEqual, i)
    case .lessThan: comparison(.below, i)
    case .lessOrEqual: comparison(.notAbove, i)
    case .jump: jump(i.target)
    case .jumpIfZero: jumpZero(.equal, i)
    case .jumpIfNotZero: jumpZero(.notEqual, i)
    case .jumpIfEqual: jumpCompared(.equal, i)
    case .jumpIfNotEqual: jumpCompared(.notEqual, i)
    case .jumpIfLess: jumpCompared(.below, i)
    case .jumpIfNotLess: jumpCompared(.notBelow, i)
    case .jumpIfLessOrEqual: jumpCompared(.notAbove, i)
    case .jumpIfNotLessOrEqual: jumpCompared(.above, i)
    case .end: assembler.answer(i.c)
    default: translateMoving(i)
    }
  }

  private mutating func translateMoving(_ i: Instruction) {
    switch i.operation {
    case .truncate:
      fetch(i.a)
      assembler.truncate(bits: 64 - Int(i.shift))
      put(i.target)
    case .select:
      assembler.compareZero(.rdi, at(i.a))
      assembler.load(.rax, .rdi, at(i.c))
      assembler.move(if: .notEqual, .rax, .rdi, at(i.b))
      put(i.target)
    case .scale, .scaleAdd:
      assembler.multiply(.rax, .rdi, at(i.a), by: i.c)
      if i.operation == .scaleAdd { assembler.arithmetic(.add, .rax, .rdi, at(i.b)) }
      put(i.target)
    case .load:
      fetch(i.a)
      assembler.load(.rax, .rdi, index: .rax, at(i.c))
      put(i.target)
    case .store:
      fetch(i.a)
      assembler.load(.rcx, .rdi, at(i.b))
      assembler.store(.rdi, index: .rax, at(i.c), .rcx)
    case .increment:
      assembler.increment(.rdi, at(i.target))
      held = nil
    case .copy:
      held = nil
      assembler.bytes(0x56, 0x57)  // push rsi, rdi
      assembler.address(.rsi, .rdi, at(i.a))
      assembler.address(.rdi, .rdi, at(i.target))
      assembler.constant(.rcx, UInt64(i.c))
      assembler.bytes(0xF3, 0x48, 0xA5, 0x5F, 0x5E)  // rep movsq, pop rdi, rsi
    default:
      held = nil
      translateSuccessor(i)
    }
  }

  private mutating func translateSuccessor(_ i: Instruction) {
    switch i.operation {
    case .begin:
      assembler.multiply(.rax, .rsi, Self.offset(\.successorCount), by: Int32(words * 8))
      assembler.arithmetic(.add, .rax, .rsi, Self.offset(\.successors))
      assembler.bytes(0x49, 0x89, 0xC0)  // mov r8, rax
      assembler.load(.r9, .rsi, Self.offset(\.explored))
      for word in 0..<Int32(words) {
        assembler.load(.rax, .r9, at(word))
        assembler.store(.r8, at(word), .rax)
      }
    case .insert:
      assembler.load(.rax, .rdi, at(i.a))
      if i.shift != 0 { assembler.bytes(0x48, 0xC1, 0xE0, i.shift) }  // shl rax
      assembler.constant(.rcx, ~constants[Int(-1 - i.b)])
      assembler.arithmetic(.and, .rcx, .r8, at(i.target))
      assembler.bytes(0x48, 0x09, 0xC8)  // or rax, rcx
      assembler.store(.r8, at(i.target), .rax)
    case .insertAt: insertAt(i)
    case .emit:
      assembler.load(.rax, .rsi, Self.offset(\.successorCount))
      assembler.load(.rcx, .rsi, Self.offset(\.instances))
      assembler.bytes(0xC7, 0x04, 0x81)  // mov dword [rcx + 4 rax], c
      assembler.number(i.c)
      assembler.increment(.rsi, Self.offset(\.successorCount))
    case .count: assembler.add(.rsi, Self.offset(\.possible), i.c)
    case .jumpIfRedundant:
      assembler.load(.rax, .rsi, Self.offset(\.redundant))
      assembler.bytes(0xF6, 0x80)  // test byte [rax + …], bit
      assembler.number(i.a / 8)
      assembler.bytes(1 << UInt8(i.a % 8))
      jump(i.target, if: .notEqual)
    case .jumpUnlessRedundant:
      assembler.load(.rax, .rsi, Self.offset(\.redundant))
      assembler.load(.rax, .rax, at(i.a))
      assembler.bytes(0x48, 0xF7, 0xD0)  // not rax
      assembler.constant(.rcx, constants[Int(-1 - i.b)])
      assembler.bytes(0x48, 0x85, 0xC8)  // test rax, rcx
      jump(i.target, if: .notEqual)
    default: preconditionFailure("\(i.operation) is not translated")
    }
  }

  private mutating func insertAt(_ i: Instruction) {
    assembler.load(.rax, .rdi, at(i.a))
    assembler.bytes(0x48, 0xC1, 0xE0, 4)  // shl rax, 4: the size of a slot
    assembler.arithmetic(.add, .rax, .rsi, Self.offset(\.slots))
    assembler.address(.rax, .rax, i.c * Int32(MemoryLayout<PackedSlot>.stride))
    assembler.load(.r11, .rax, Self.slotOffset(\.mask))
    assembler.load(.rdx, .rdi, at(i.b))
    assembler.bytes(0x0F, 0xB6, 0x88)  // movzx ecx, byte [rax + …]
    assembler.number(Self.slotOffset(\.shift))
    assembler.bytes(0x48, 0xD3, 0xE2)  // shl rdx, cl
    assembler.bytes(0x48, 0x63, 0x80)  // movsxd rax, dword [rax + …]
    assembler.number(Self.slotOffset(\.word))
    assembler.bytes(0x49, 0xF7, 0xD3)  // not r11
    assembler.load(.rcx, .r8, index: .rax, 0)
    assembler.bytes(0x4C, 0x21, 0xD9)  // and rcx, r11
    assembler.bytes(0x48, 0x09, 0xD1)  // or rcx, rdx
    assembler.store(.r8, index: .rax, 0, .rcx)
  }

  private static func offset(_ field: PartialKeyPath<SuccessorBuffer>) -> Int32 {
    Int32(MemoryLayout<SuccessorBuffer>.offset(of: field) ?? 0)
  }
  private static func slotOffset(_ field: PartialKeyPath<PackedSlot>) -> Int32 {
    Int32(MemoryLayout<PackedSlot>.offset(of: field) ?? 0)
  }
}
