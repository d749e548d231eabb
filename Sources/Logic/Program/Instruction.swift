// SPDX-License-Identifier: Apache-2.0
//
// The code of the fast evaluator: straight-line instructions over 64-bit registers, with forward jumps where a guard
// fails and backward jumps in loops over large tables.

/// One instruction. Operands are registers unless said otherwise: from 0 the state, then arguments, results and
/// temporaries; below 0 constants.
package struct Instruction: Sendable {
  package enum Operation: UInt8, Sendable {
    /// target ← a; and so on for the operations below.
    case move
    case not, and, or, xor
    case equal, notEqual, lessThan, lessOrEqual
    /// Reduced to 64 − `shift` bits.
    case add, subtract, truncate
    /// target ← a ≠ 0 ? b : c
    case select
    /// target ← a · (c as a number), and the same plus b: indices of tables.
    case scale, scaleAdd
    /// target ← the register numbered c + a.
    case load
    /// The register numbered c + a ← b.
    case store
    /// `c` registers from `target` on ← those from `a` on.
    case copy
    /// target ← target + 1
    case increment
    /// Go to instruction `target`, if …
    case jump, jumpIfZero, jumpIfNotZero
    case jumpIfEqual, jumpIfNotEqual, jumpIfLess, jumpIfNotLess, jumpIfLessOrEqual, jumpIfNotLessOrEqual
    /// Ends with the answer `c`.
    case end

    // For explorations: successors are written straight into packed form.
    /// A successor begins as a copy of the state explored.
    case begin
    /// Word `target` of the successor: the bits of register b are cleared, then a shifted left by `shift` is set.
    case insert
    /// The same for the scalar whose number is c + a; its value is b.
    case insertAt
    /// The successor is complete; it is that of action instance c.
    case emit
    /// c more action instances are possible.
    case count
    /// Go to instruction `target`, if action instance a (a number) need not be taken.
    case jumpIfRedundant
    /// Go to instruction `target`, if any of the action instances in word a (a number) of the set b is to be taken.
    case jumpUnlessRedundant
  }

  /// Whether `target` is an instruction, not a register.
  var isJump: Bool {
    switch operation {
    case .jump, .jumpIfZero, .jumpIfNotZero, .jumpIfEqual, .jumpIfNotEqual, .jumpIfLess, .jumpIfNotLess,
      .jumpIfLessOrEqual, .jumpIfNotLessOrEqual, .jumpIfRedundant, .jumpUnlessRedundant:
      true
    default: false
    }
  }

  package var operation: Operation
  package var shift: UInt8 = 0
  package var target: Int32 = 0
  package var a: Int32 = 0
  package var b: Int32 = 0
  package var c: Int32 = 0

  package init(
    operation: Operation, shift: UInt8 = 0, target: Int32 = 0, a: Int32 = 0, b: Int32 = 0, c: Int32 = 0
  ) {
    self.operation = operation
    self.shift = shift
    self.target = target
    self.a = a
    self.b = b
    self.c = c
  }
}
