// SPDX-License-Identifier: Apache-2.0

import Logic
import Testing

/// Runs one program as machine code and interpreted, on registers of the same values.
private struct CodeTwins {
  static let registers = 24
  static let constants: [UInt64] = [0, 1, 7, 0x8000_0000, .max]

  let native: Executable
  let interpreted: Executable

  init(_ code: [Instruction]) {
    native = Executable(code, constants: Self.constants, registerCount: Self.registers)
    interpreted = Executable(
      code, constants: Self.constants, registerCount: Self.registers, isNative: false)
  }

  static func run(_ executable: Executable, from start: Int = 0, on values: [UInt64]) -> (Int, [UInt64]) {
    var memory = Array(constants.reversed()) + values
    let answer = memory.withUnsafeMutableBufferPointer { buffer in
      buffer.baseAddress.map { executable.run(from: start, $0 + constants.count) } ?? -1
    }
    return (answer, memory)
  }

  func agree(on values: [UInt64]) -> Bool {
    Self.run(native, on: values) == Self.run(interpreted, on: values)
  }
}

private func values(_ random: inout some RandomNumberGenerator) -> [UInt64] {
  (0..<CodeTwins.registers).map { _ in
    [0, 1, UInt64.random(in: 0...3, using: &random), random.next() & 0xFFFF_FFFF, random.next(), .max]
      .randomElement(using: &random) ?? 0
  }
}

@Suite("Machine code") struct NativeTests {
  #if os(Linux) && arch(x86_64)
    @Test("is what runs here")
    func isNative() {
      #expect(Executable([Instruction(operation: .end, c: 3)], constants: [], registerCount: 1).isNative)
      #expect(
        !Executable([Instruction(operation: .end)], constants: [], registerCount: 1, isNative: false).isNative
      )
    }
  #endif

  @Test("computes what the interpreter computes, two operations in a row")
  func computations() {
    var random = SystemRandomNumberGenerator()
    let operations: [Instruction.Operation] = [
      .move, .not, .and, .or, .xor, .equal, .notEqual, .lessThan, .lessOrEqual, .add, .subtract, .truncate,
      .select, .scale, .scaleAdd, .copy, .increment,
    ]
    func operand() -> Int32 { Int32.random(in: -5..<Int32(CodeTwins.registers - 4)) }
    for first in operations {
      for second in operations {
        for shift: UInt8 in [0, 1, 20, 31, 32, 33, 40, 62, 63] {
          let code = [first, second].map { operation in
            let target = Int32.random(in: 0..<12)
            return operation == .copy
              ? Instruction(operation: .copy, target: target, a: 16, c: Int32.random(in: 0...4))
              : Instruction(
                operation: operation, shift: shift, target: target, a: operand(), b: operand(),
                c: operation == .select ? operand() : Int32.random(in: 1...1000))
          }
          let twins = CodeTwins(code + [Instruction(operation: .end, c: 9)])
          #expect(twins.agree(on: values(&random)), "\(code)")
        }
      }
    }
  }

  @Test("reads and writes at computed places")
  func places() {
    for index in 0..<UInt64(8) {
      let twins = CodeTwins([
        Instruction(operation: .load, target: 1, a: 0, c: 8),
        Instruction(operation: .store, a: 0, b: 2, c: 12),
        Instruction(operation: .load, target: 3, a: 0, c: 12),
        Instruction(operation: .end, c: 1),
      ])
      let state = [index] + (1..<UInt64(CodeTwins.registers)).map { $0 * 1_000_003 }
      #expect(twins.agree(on: state))
      #expect(
        CodeTwins.run(twins.native, on: state).1[CodeTwins.constants.count + 1] == (8 + index) * 1_000_003)
    }
  }

  @Test("jumps where the interpreter jumps, forwards and backwards")
  func jumps() {
    var random = SystemRandomNumberGenerator()
    let operations: [Instruction.Operation] = [
      .jump, .jumpIfZero, .jumpIfNotZero, .jumpIfEqual, .jumpIfNotEqual, .jumpIfLess, .jumpIfNotLess,
      .jumpIfLessOrEqual, .jumpIfNotLessOrEqual,
    ]
    for operation in operations {
      let twins = CodeTwins([
        Instruction(operation: operation, target: 2, a: 0, b: 1), Instruction(operation: .end, c: 5),
        Instruction(operation: .move, target: 3, a: 0), Instruction(operation: .end, c: 6),
      ])
      for _ in 0..<200 { #expect(twins.agree(on: values(&random)), "\(operation)") }
    }
    let loop = CodeTwins([
      Instruction(operation: .increment, target: 0), Instruction(operation: .add, target: 1, a: 1, b: 0),
      Instruction(operation: .jumpIfLess, target: 0, a: 0, b: 2), Instruction(operation: .end, c: 1),
    ])
    let sum = CodeTwins.run(
      loop.native, on: [0, 0, 100] + Array(repeating: 0, count: CodeTwins.registers - 3))
    #expect(sum.1[CodeTwins.constants.count + 1] == 5050)
  }
}
