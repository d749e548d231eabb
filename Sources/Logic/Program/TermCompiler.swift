// SPDX-License-Identifier: Apache-2.0

/// Turns terms over base state 0 and symbols into instructions, each term once where it is still known.
package final class TermCompiler {
  package let elaborator: Elaborator
  package let layout: StateLayout
  package private(set) var code: [Instruction] = []
  /// Values of the registers −1, −2, ….
  package private(set) var constants: [UInt64] = []
  /// One past the highest register used.
  package private(set) var registerCount: Int

  private var constantRegisters: [UInt64: Int32] = [:]
  private var symbols: [Int: Int32] = [:]
  private var known: [TermID: Int32] = [:]
  private var knownIndices: [[IndexPart]: Int32] = [:]
  private var history: [Knowledge] = []
  private var nextTemporary: Int

  /// A key that is no constant, and its stride.
  private struct IndexPart: Hashable {
    let key: TermID
    let stride: Int
  }

  private enum Knowledge {
    case term(TermID)
    case index([IndexPart])
  }

  /// - Parameter reserved: registers after the state that the caller uses itself.
  package init(_ elaborator: Elaborator, _ layout: StateLayout, reserved: Int) {
    self.elaborator = elaborator
    self.layout = layout
    nextTemporary = layout.count + reserved
    registerCount = nextTemporary
  }

  // MARK: Registers

  package func temporary(_ count: Int = 1) -> Int32 {
    defer {
      nextTemporary += count
      registerCount = max(registerCount, nextTemporary)
    }
    return Int32(nextTemporary)
  }

  package func constant(_ value: UInt64) -> Int32 {
    if let register = constantRegisters[value] { return register }
    constants.append(value)
    let register = -Int32(constants.count)
    constantRegisters[value] = register
    return register
  }

  /// Says in which register the value of a symbol is.
  package func bind(_ symbol: TermID, to register: Int32) {
    guard case .symbol(let index) = elaborator[symbol].operation else {
      preconditionFailure("only a symbol can be bound")
    }
    symbols[index] = register
  }

  /// What is computed within is forgotten after it: it may have been jumped over.
  /// - Parameter reusing: whether its temporaries may be used again, too.
  package func scoped(reusing: Bool = false, _ body: () -> Void) {
    let (mark, temporaries) = (history.count, nextTemporary)
    body()
    while history.count > mark {
      switch history.removeLast() {
      case .term(let term): known[term] = nil
      case .index(let parts): knownIndices[parts] = nil
      }
    }
    if reusing { nextTemporary = temporaries }
  }

  // MARK: Code

  package func append(_ instruction: Instruction) { code.append(instruction) }

  /// A place in the code that is not known yet.
  package final class Label {
    fileprivate var jumps: [Int] = []
    package init() {}
  }

  package func place(_ label: Label) {
    for jump in label.jumps { code[jump].target = Int32(code.count) }
    label.jumps = []
  }

  package func jump(
    _ operation: Instruction.Operation, _ a: Int32 = 0, _ b: Int32 = 0, to label: Label
  ) {
    label.jumps.append(code.count)
    code.append(Instruction(operation: operation, a: a, b: b))
  }

  // MARK: Terms

  /// The register where the term's value is, or will be.
  package func register(of term: TermID) -> Int32 {
    if let register = known[term] { return register }
    let item = elaborator[term]
    switch item.operation {
    case .constant(let value): return constant(value)
    case .symbol(let index):
      guard let register = symbols[index] else { preconditionFailure("a symbol without a register") }
      return register
    case .scalar(_, let component): return Int32(place(of: component).base)
    case .entry(_, let component):
      let (base, index) = location(component, item.operands)
      guard let index else { return base }
      return emit(term, Instruction(operation: .load, a: index, c: base))
    case .resize where item.width >= elaborator[item.operands[0]].width: return register(of: item.operands[0])
    default: return emit(term, instruction(for: item))
    }
  }

  package func isKnown(_ term: TermID) -> Bool { known[term] != nil }

  private func place(of component: Int) -> StateLayout.Place {
    guard let place = layout.places[component] else {
      preconditionFailure(
        "\(layout.specification.components[component].name) is a witness: not for evaluation")
    }
    return place
  }

  private func emit(_ term: TermID, _ instruction: Instruction) -> Int32 {
    var instruction = instruction
    instruction.target = temporary()
    append(instruction)
    known[term] = instruction.target
    history.append(.term(term))
    return instruction.target
  }

  private func instruction(for item: Term) -> Instruction {
    func binary(_ operation: Instruction.Operation) -> Instruction {
      Instruction(
        operation: operation, shift: UInt8(64 - item.width), a: register(of: item.operands[0]),
        b: register(of: item.operands[1]))
    }
    switch item.operation {
    case .not: return negation(of: item.operands[0])
    case .and, .bitAnd: return binary(.and)
    case .or, .bitOr: return binary(.or)
    case .bitXor: return binary(.xor)
    case .equal: return binary(.equal)
    case .lessThan: return binary(.lessThan)
    case .lessOrEqual: return binary(.lessOrEqual)
    case .add: return binary(.add)
    case .subtract: return binary(.subtract)
    case .resize:
      return Instruction(
        operation: .truncate, shift: UInt8(64 - item.width), a: register(of: item.operands[0]))
    case .ifThenElse:
      return Instruction(
        operation: .select, a: register(of: item.operands[0]), b: register(of: item.operands[1]),
        c: register(of: item.operands[2]))
    case .constant, .symbol, .scalar, .entry: preconditionFailure("has a register already")
    }
  }

  private func negation(of term: TermID) -> Instruction {
    let item = elaborator[term]
    if known[term] == nil {
      switch item.operation {
      case .equal:
        return Instruction(
          operation: .notEqual, a: register(of: item.operands[0]), b: register(of: item.operands[1]))
      case .lessThan:
        return Instruction(
          operation: .lessOrEqual, a: register(of: item.operands[1]), b: register(of: item.operands[0]))
      case .lessOrEqual:
        return Instruction(
          operation: .lessThan, a: register(of: item.operands[1]), b: register(of: item.operands[0]))
      default: break
      }
    }
    return Instruction(operation: .not, a: register(of: term))
  }

  // MARK: Entries of tables

  /// The register of an entry: a number, and a register to be added to it where a key is no constant.
  package func location(_ component: Int, _ keys: [TermID]) -> (base: Int32, index: Int32?) {
    let place = place(of: component)
    var base = place.base
    var parts: [IndexPart] = []
    for (key, stride) in zip(keys, place.strides) {
      if let value = elaborator.constantValue(key) {
        base += Int(value) * stride
      } else {
        parts.append(IndexPart(key: key, stride: stride))
      }
    }
    return (Int32(base), parts.isEmpty ? nil : index(parts))
  }

  private func index(_ parts: [IndexPart]) -> Int32 {
    if let register = knownIndices[parts] { return register }
    let last = parts[parts.count - 1]
    let key = register(of: last.key)
    if parts.count == 1, last.stride == 1 { return key }
    let instruction: Instruction
    if parts.count == 1 {
      instruction = Instruction(operation: .scale, target: temporary(), a: key, c: Int32(last.stride))
    } else {
      let rest = index(Array(parts.dropLast()))
      instruction = Instruction(
        operation: last.stride == 1 ? .add : .scaleAdd, target: temporary(), a: key, b: rest,
        c: Int32(last.stride))
    }
    append(instruction)
    knownIndices[parts] = instruction.target
    history.append(.index(parts))
    return instruction.target
  }
}
